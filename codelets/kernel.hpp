// Kernels: what computes one tile of one operator on one device. They know TensorView, not Graph, and never StarPU.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/attrs.hpp"
#include "base/tensor_view.hpp"

namespace hpdlf::codelets {

/// What a kernel gets. Views are ready to use; no graph, no StarPU, no allocation of tensor-sized memory.
struct KernelArgs {
  std::span<const TensorView> inputs, outputs;
  const Attrs* attrs = nullptr;
  /// Add to output 0 instead of writing it (partial sums, gradients with several readers).
  bool accumulate = false;
  /// As large as workspace() asked for, 64-byte aligned; content undefined.
  std::span<std::byte> workspace;
  /// Random operators draw Philox numbers keyed by (seed, node) at (step, global element index).
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  /// Device-specific context of the worker (stream, library handles); CPU kernels ignore it.
  void* device = nullptr;

  [[nodiscard]] const TensorView& in(int i) const { return inputs[static_cast<std::size_t>(i)]; }
  [[nodiscard]] const TensorView& out(int i) const { return outputs[static_cast<std::size_t>(i)]; }
};

struct Kernel {
  std::string op;  ///< OpSpec::name
  std::string device = "cpu";
  std::string variant = {};                  ///< "onednn", "simd", ...; for reports
  void (*run)(const KernelArgs&) = nullptr;  ///< throws Error / LibraryError
  bool (*supports)(const KernelArgs&) =
      nullptr;  ///< nullptr: every call of the operator; looks at shapes, never data
  std::size_t (*workspace)(const KernelArgs&) =
      nullptr;  ///< bytes; nullptr: none; looks at shapes, never data
};

/// (op, device) -> kernels, best first. Filled from base/op_families.def on first use; immutable after.
class KernelRegistry {
 public:
  void add(Kernel kernel);
  /// All kernels of an operator on a device, best first; empty if none.
  [[nodiscard]] std::span<const Kernel> find(std::string_view op, std::string_view device) const;
  /// The first that supports the call. @throws Error listing what exists.
  [[nodiscard]] const Kernel& select(std::string_view op, std::string_view device,
                                     const KernelArgs& args) const;

 private:
  std::vector<std::pair<std::string, std::vector<Kernel>>> kernels_;  // key "op@device"
};
[[nodiscard]] const KernelRegistry& kernel_registry();

}  // namespace hpdlf::codelets
