// Reductions along axes and their gradients.
//   ReduceSum, ReduceMean, ReduceSumSquare   sums: reduced factors are summed over tiles; ReduceMean divides by the count of the whole
//   ReduceMax, ReduceMin                     whole along the reduced axes
//   ReduceSumGrad         dx[i] = scale * dy[reduced i]
//   ReduceSumSquareGrad   dx[i] = 2 x[i] dy[reduced i]
//   ReduceExtremumGrad    dx[i] = dy / (number of elements equal to y) where x[i] equals y, as torch.amax
// Source: ONNX ReduceSum-13 with axes as an attribute. Kernels: codelets/cpu/reduce.cc.
// SPDX-License-Identifier: Apache-2.0
#include "base/axes.hpp"
#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {
namespace {

Extents reduced_extents(const Extents& x, const Attrs& attrs) {
  const AxisSet reduced = axis_set(attrs.integers("axes"), x.rank());
  const bool keepdims = attrs.integer("keepdims") != 0;
  Extents y;
  for (int i = 0; i < x.rank(); ++i)
    if (!reduced[static_cast<std::size_t>(i)])
      y.push_back(x[i]);
    else if (keepdims)
      y.push_back(1);
  return y;
}

void infer_reduce(OpCall& call) {
  const TensorType& x = call.input(0);
  HPDLF_CHECK(x.dtype == DType::f32 || x.dtype == DType::f64,
              "x is {}; reductions take f32 and f64", to_string(x));
  HPDLF_CHECK(x.elements() > 0, "x is {}: nothing to reduce", to_string(x));
  call.outputs = {{x.dtype, reduced_extents(x.extents, *call.attrs)}};
}

/// A sum of bf16 is f32.
void infer_reduce_sum(OpCall& call) {
  const TensorType x = call.input(0);
  if (x.dtype == DType::bf16) call.inputs[0].dtype = DType::f32;
  infer_reduce(call);
  call.inputs[0] = x;
}

void infer_reduce_sum_grad(OpCall& call) {
  const TensorType& dy = call.input(0);
  const TensorType x{dy.dtype, Extents(std::span(call.attrs->integers("input_shape")))};
  const Extents expected = reduced_extents(x.extents, *call.attrs);
  HPDLF_CHECK(dy.extents == expected, "dy is {}, reducing {} gives {}", to_string(dy), to_string(x),
              to_string(expected));
  call.outputs = {x};
}

/// The gradients that read x and, last, dy.
void infer_like_x(OpCall& call) {
  const TensorType& x = call.input(0);
  const TensorType expected{x.dtype, reduced_extents(x.extents, *call.attrs)};
  for (std::size_t i = 1; i < call.inputs.size(); ++i)
    HPDLF_CHECK(call.inputs[i] == expected, "{} is {}, the reduced x is {}",
                call.spec->inputs[i].name, to_string(call.inputs[i]), to_string(expected));
  call.outputs = {x};
}

/// Dimensions of the unreduced tensor; `suffix` on the reduced ones.
std::string unreduced_dims(const OpCall& call, int rank, const std::string& suffix = "") {
  const AxisSet reduced = axis_set(call.attrs->integers("axes"), rank);
  return rule_dims(rank, [&](int i, const std::string& letter) {
    return reduced[static_cast<std::size_t>(i)] ? letter + suffix : letter;
  });
}

std::string reduced_dims(const OpCall& call, int rank) {
  const AxisSet reduced = axis_set(call.attrs->integers("axes"), rank);
  const bool keepdims = call.attrs->integer("keepdims") != 0;
  return rule_dims(rank, [&](int i, const std::string& letter) -> std::string {
    if (!reduced[static_cast<std::size_t>(i)]) return letter;
    return keepdims ? "1" : "";
  });
}

std::string sum_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return unreduced_dims(call, rank) + " -> " + reduced_dims(call, rank);
}

std::string extremum_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return unreduced_dims(call, rank, "!") + " -> " + reduced_dims(call, rank);
}

std::string sum_grad_rule(const OpCall& call) {
  const int rank = call.output(0).extents.rank();
  return reduced_dims(call, rank) + " -> " + unreduced_dims(call, rank);
}

std::string sum_square_grad_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return unreduced_dims(call, rank) + ", " + reduced_dims(call, rank) + " -> " +
         unreduced_dims(call, rank);
}

std::string extremum_grad_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  const std::string x = unreduced_dims(call, rank, "!");
  const std::string y = reduced_dims(call, rank);
  return x + ", " + y + ", " + y + " -> " + x;
}

Cost reduce_cost(const OpCall& call) {
  Cost cost = streaming_cost(call, 0);
  cost.flops = 2 * static_cast<double>(call.input(0).elements());
  return cost;
}

Cost reduce_grad_cost(const OpCall& call) { return streaming_cost(call, 2); }

std::vector<std::int64_t> shape_of(const GradContext& g) {
  const Extents& x = g.type(g.input(0)).extents;
  return {x.begin(), x.end()};
}

void emit_sum_grad(GradContext& g, double scale) {
  Attrs attrs = g.attrs();
  attrs.set("input_shape", shape_of(g));
  attrs.set("scale", scale);
  g.set_grad_input(0, g.emit("ReduceSumGrad", {g.grad_output(0)}, attrs));
}

void sum_gradient(GradContext& g) { emit_sum_grad(g, 1); }

void mean_gradient(GradContext& g) {
  const auto x = static_cast<double>(g.type(g.input(0)).elements());
  emit_sum_grad(g, static_cast<double>(g.type(g.output(0)).elements()) / x);
}

void sum_square_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("ReduceSumSquareGrad", {g.input(0), g.grad_output(0)}, g.attrs()));
}

void extremum_gradient(GradContext& g) {
  g.set_grad_input(
      0, g.emit("ReduceExtremumGrad", {g.input(0), g.output(0), g.grad_output(0)}, g.attrs()));
}

std::vector<AttrSpec> reduce_attrs(std::initializer_list<AttrSpec> more = {}) {
  std::vector<AttrSpec> attrs = {
      {"axes", std::vector<std::int64_t>{},
       "axes to reduce, negative ones counted from the back; empty: all"},
      {"keepdims", std::int64_t{1}, "1: reduced axes stay with extent 1; 0: they go"}};
  attrs.insert(attrs.end(), more);
  return attrs;
}

void add_reduction(OpRegistry& registry, const std::string& name, int opset, const std::string& doc,
                   std::string (*rule)(const OpCall&), void (*gradient)(GradContext&)) {
  const bool is_sum = gradient == sum_gradient;
  registry.add(
      {.name = name,
       .onnx = {name, opset},
       .doc = doc,
       .inputs = {{"x", is_sum ? "f32, f64 or bf16 of any rank" : "f32 or f64 of any rank"}},
       .outputs = {{"y", "x without (or with extent 1 in) the reduced axes"}},
       .attrs = reduce_attrs(),
       .rule_for = rule,
       .infer = is_sum ? infer_reduce_sum : infer_reduce,
       .cost = reduce_cost,
       .gradient = gradient});
}

}  // namespace

void register_reduce_ops(OpRegistry& registry) {
  add_reduction(registry, "ReduceSum", 13, "Sum along axes, accumulated in f64; f32 if x is bf16.",
                sum_rule, sum_gradient);
  add_reduction(registry, "ReduceMean", 13, "Mean along axes, accumulated in f64.", sum_rule,
                mean_gradient);
  add_reduction(registry, "ReduceSumSquare", 13, "Sum of squares along axes, accumulated in f64.",
                sum_rule, sum_square_gradient);
  add_reduction(registry, "ReduceMax", 13, "Largest element along axes.", extremum_rule,
                extremum_gradient);
  add_reduction(registry, "ReduceMin", 13, "Smallest element along axes.", extremum_rule,
                extremum_gradient);

  const OperandSpec x{"x", "the tensor that was reduced"};
  const OperandSpec dy{"dy", "like the reduced tensor"};
  const OperandSpec dx{"dx", "like the tensor that was reduced"};
  registry.add(
      {.name = "ReduceSumGrad",
       .doc = "Gradient of ReduceSum and, with scale = 1 / count, of ReduceMean by x.",
       .inputs = {dy},
       .outputs = {dx},
       .attrs = reduce_attrs({{"input_shape", std::vector<std::int64_t>{}, "extents of x", true},
                              {"scale", 1.0, "factor of dy"}}),
       .rule_for = sum_grad_rule,
       .infer = infer_reduce_sum_grad,
       .cost = reduce_grad_cost});
  registry.add({.name = "ReduceSumSquareGrad",
                .doc = "Gradient of ReduceSumSquare by x.",
                .inputs = {x, dy},
                .outputs = {dx},
                .attrs = reduce_attrs(),
                .rule_for = sum_square_grad_rule,
                .infer = infer_like_x,
                .cost = reduce_grad_cost,
                .in_place = {{0, 0}}});
  registry.add({.name = "ReduceExtremumGrad",
                .doc = "Gradient of ReduceMax and ReduceMin by x; equal extrema share it.",
                .inputs = {x, {"y", "the reduced tensor"}, dy},
                .outputs = {dx},
                .attrs = reduce_attrs(),
                .rule_for = extremum_grad_rule,
                .infer = infer_like_x,
                .cost = reduce_grad_cost});
}

}  // namespace hpdlf::graph
