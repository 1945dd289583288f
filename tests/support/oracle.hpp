// The whole-graph oracle: runs a graph node by node, untiled, on plain arrays and one thread. What the runtime does must equal it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "graph/ir.hpp"

namespace hpdlf::test {

/// A dense row-major tensor that owns its memory.
struct Tensor {
  graph::TensorType type;
  std::vector<std::byte> data;

  Tensor() = default;
  explicit Tensor(graph::TensorType t) : type(t), data(static_cast<std::size_t>(t.bytes())) {}
  template <class T>
  [[nodiscard]] std::span<T> as() {
    HPDLF_ASSERT(type.dtype == dtype_of<T>, "a tensor of {} read as {}", name_of(type.dtype),
                 name_of(dtype_of<T>));
    return {reinterpret_cast<T*>(data.data()), static_cast<std::size_t>(type.elements())};
  }
  template <class T>
  [[nodiscard]] std::span<const T> as() const {
    HPDLF_ASSERT(type.dtype == dtype_of<T>, "a tensor of {} read as {}", name_of(type.dtype),
                 name_of(dtype_of<T>));
    return {reinterpret_cast<const T*>(data.data()), static_cast<std::size_t>(type.elements())};
  }
};

class Oracle {
 public:
  /// Fills parameters and state by their initialisers and `seed`, constants by their content. Keeps a reference to `graph`.
  explicit Oracle(const graph::Graph& graph, std::uint64_t seed = 0, std::int64_t first_step = 0);

  /// Runs every node in order, then binds the updates. Every graph input must be given; the step's number starts at `first_step`.
  void step(const std::map<graph::ValueId, Tensor>& inputs);

  /// Any value as the last step left it; parameters and state are writable between steps.
  [[nodiscard]] const Tensor& value(graph::ValueId id) const {
    return tensors_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] Tensor& value(graph::ValueId id) { return tensors_[static_cast<std::size_t>(id)]; }
  /// The value fetched under `name`. @throws Error if there is none.
  [[nodiscard]] const Tensor& fetched(std::string_view name) const;

 private:
  void run(const graph::Node& node);

  const graph::Graph& graph_;
  std::uint64_t seed_;
  std::int64_t step_;
  std::vector<Tensor> tensors_;  // [ValueId]
};

}  // namespace hpdlf::test
