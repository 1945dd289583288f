// Resize: resampling of any dimensions by nearest neighbour or (multi-)linear interpolation, and its gradient.
//   y[o] = sum over taps of weight * x[tap], taps and weights separable over the dimensions
// Source: ONNX Resize-13 without cubic, roi and extrapolation; scales and sizes have an entry for every dimension of our
// channels-last x. Kernels: codelets/cpu/resize.cc.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string_view>

#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {
namespace {

void check_choice(const Attrs& attrs, std::string_view name,
                  std::initializer_list<std::string_view> choices) {
  const std::string& value = attrs.string(name);
  std::string list;
  for (const auto choice : choices)
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", choice);
  HPDLF_CHECK(std::find(choices.begin(), choices.end(), value) != choices.end(),
              "{}=\"{}\" is none of {}", name, value, list);
}

Extents resized_extents(const Extents& x, const Attrs& attrs) {
  check_choice(attrs, "mode", {"nearest", "linear"});
  check_choice(attrs, "coordinate_transformation_mode",
               {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"});
  check_choice(attrs, "nearest_mode", {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"});
  const auto& scales = attrs.reals("scales");
  const auto& sizes = attrs.integers("sizes");
  HPDLF_CHECK(scales.empty() != sizes.empty(), "Resize takes either scales or sizes, not {}",
              scales.empty() ? "neither" : "both");
  const std::size_t given = std::max(scales.size(), sizes.size());
  HPDLF_CHECK(static_cast<int>(given) == x.rank(),
              "Resize of {}: {} has {} values, one a dimension is needed", to_string(x),
              scales.empty() ? "sizes" : "scales", given);
  Extents y;
  for (std::size_t i = 0; i < given; ++i) {
    const std::int64_t extent = x[static_cast<int>(i)];
    y.push_back(scales.empty() ? sizes[i]
                               : static_cast<std::int64_t>(
                                     std::floor(static_cast<double>(extent) * scales[i])));
    HPDLF_CHECK(y.back() >= 1, "Resize of {} leaves {} elements along dimension {}", to_string(x),
                y.back(), i);
  }
  return y;
}

void infer_resize(OpCall& call) {
  const TensorType& x = call.input(0);
  call.outputs = {{x.dtype, resized_extents(x.extents, *call.attrs)}};
}

void infer_resize_grad(OpCall& call) {
  const TensorType& dy = call.input(0);
  const Extents x(std::span(call.attrs->integers("input_shape")));
  const Extents expected = resized_extents(x, *call.attrs);
  HPDLF_CHECK(dy.extents == expected, "dy is {}, resizing {} gives {}", to_string(dy), to_string(x),
              to_string(expected));
  call.outputs = {{dy.dtype, x}};
}

/// Resized dimensions are whole on both sides, the others free.
std::string resize_rule(const OpCall& call) {
  const Extents& from = call.input(0).extents;
  const Extents& to = call.output(0).extents;
  const auto& scales = call.attrs->reals("scales");
  const auto dims = [&](const Extents& operand) {
    return dims_fixed_where(operand, [&](int i) {
      return from[i] != to[i] || (!scales.empty() && scales[static_cast<std::size_t>(i)] != 1);
    });
  };
  return dims(from) + " -> " + dims(to);
}

/// Linear: at most two taps a dimension; three resized ones make 8 products and sums a resized element.
Cost resize_cost(const OpCall& call) {
  Cost cost = streaming_cost(call, 0);
  const double taps = call.attrs->string("mode") == "linear" ? 8 : 1;
  cost.flops =
      2 * taps * static_cast<double>(std::max(call.input(0).elements(), call.output(0).elements()));
  return cost;
}

void resize_gradient(GradContext& g) {
  Attrs attrs = g.attrs();
  const Extents& x = g.type(g.input(0)).extents;
  attrs.set("input_shape", std::vector<std::int64_t>(x.begin(), x.end()));
  g.set_grad_input(0, g.emit("ResizeGrad", {g.grad_output(0)}, attrs));
}

std::vector<AttrSpec> resize_attrs(std::initializer_list<AttrSpec> more = {}) {
  std::vector<AttrSpec> attrs = {
      {"scales", std::vector<double>{}, "extent of y / extent of x, one a dimension"},
      {"sizes", std::vector<std::int64_t>{}, "extents of y instead of scales"},
      {"mode", std::string("nearest"), "nearest or linear"},
      {"coordinate_transformation_mode", std::string("half_pixel"),
       "half_pixel, pytorch_half_pixel, align_corners or asymmetric"},
      {"nearest_mode", std::string("round_prefer_floor"),
       "round_prefer_floor, round_prefer_ceil, floor or ceil"}};
  attrs.insert(attrs.end(), more);
  return attrs;
}

}  // namespace

void register_resize_ops(OpRegistry& registry) {
  registry.add({.name = "Resize",
                .onnx = {"Resize", 13},
                .doc = "Resamples x on a finer or coarser grid.",
                .inputs = {{"x", "f32, any rank"}},
                .outputs = {{"y", "of the extents that scales or sizes give"}},
                .attrs = resize_attrs(),
                .rule_for = resize_rule,
                .infer = infer_resize,
                .cost = resize_cost,
                .gradient = resize_gradient});
  registry.add(
      {.name = "ResizeGrad",
       .doc = "Gradient of Resize by x.",
       .inputs = {{"dy", "like the resized tensor"}},
       .outputs = {{"dx", "like the tensor that was resized"}},
       .attrs = resize_attrs({{"input_shape", std::vector<std::int64_t>{}, "extents of x", true}}),
       .rule_for = resize_rule,
       .infer = infer_resize_grad,
       .cost = resize_cost});
}

}  // namespace hpdlf::graph
