// Sums in gradients: of biases and of operands that were broadcast.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <numeric>
#include <string>
#include <vector>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {

/// `value` as `dtype`.
[[nodiscard]] inline ValueId emit_cast(GradContext& g, ValueId value, DType dtype) {
  if (g.type(value).dtype == dtype) return value;
  return g.emit("Cast", {value}, {{"to", std::string(name_of(dtype))}});
}

/// 0 .. count - 1.
[[nodiscard]] inline std::vector<std::int64_t> leading_axes(int count) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(count));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

/// Sum of `value` along `axes`, of the same dtype; reductions do not take less than f32, so smaller types are widened for it.
[[nodiscard]] inline ValueId emit_sum(GradContext& g, ValueId value,
                                      const std::vector<std::int64_t>& axes, bool keepdims) {
  const DType dtype = g.type(value).dtype;
  const ValueId wide = emit_cast(g, value, size_of(dtype) < 4 ? DType::f32 : dtype);
  return emit_cast(
      g, g.emit("ReduceSum", {wide}, {{"axes", axes}, {"keepdims", std::int64_t{keepdims}}}),
      dtype);
}

}  // namespace hpdlf::graph
