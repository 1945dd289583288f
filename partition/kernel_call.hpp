// A kernel call as a task makes it, apart from any task graph: what times are measured of.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "graph/op_spec.hpp"

namespace hpdlf::partition {

struct KernelCall {
  struct Operand {
    DType dtype = DType::f32;
    Box box;        ///< what the kernel reads or writes ...
    Extents whole;  ///< ... of a tensor of these extents
  };
  const graph::OpSpec* spec = nullptr;
  const Attrs* attrs = nullptr;
  std::vector<Operand> inputs, outputs;
};

/// The part of `whole` that computes region `tile` of the iteration space of its rule. Where no window of it reaches an operand (stride
/// larger than kernel), the kernel still gets a view: of one position.
[[nodiscard]] KernelCall kernel_call(const graph::OpCall& whole, const graph::TilingRule& rule,
                                     const Box& tile);
/// Of operands as large as these.
[[nodiscard]] graph::Cost cost_of(const KernelCall& call);
/// Operator, attributes and operands, without where these lie: calls of one text take the same time.
[[nodiscard]] std::string to_string(const KernelCall& call);

/// A region of `tile`'s extents or smaller, the same for all tiles that differ only in place or in how far they extend along their outer
/// axes: cut from the outermost axis on until `seconds` says it takes no more than `enough`, but a product keeps the rows that it needs
/// to be as fast as the tile's. The time of a tile is that of its sample times the ratio of what `seconds` says of both.
[[nodiscard]] Box sample_of(const graph::TilingRule& rule, const Box& tile,
                            const std::function<double(const Box&)>& seconds, double enough);

/// Times of kernels on the machine that a step is planned for.
class KernelTimes {
 public:
  virtual ~KernelTimes() = default;
  /// Seconds of one call on one CPU worker while all workers are busy; nullopt: unknown.
  [[nodiscard]] virtual std::optional<double> seconds(const KernelCall& call) = 0;
};

}  // namespace hpdlf::partition
