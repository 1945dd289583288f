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

/// Sum of `value` along `axes`; that of bf16 is f32.
[[nodiscard]] inline ValueId emit_sum(GradContext& g, ValueId value,
                                      const std::vector<std::int64_t>& axes, bool keepdims) {
  return g.emit("ReduceSum", {value}, {{"axes", axes}, {"keepdims", std::int64_t{keepdims}}});
}

}  // namespace hpdlf::graph
