// Softmax and its gradient. Kernels: codelets/cpu/softmax.cc.
//   y[i]  = exp(x[i] - max x) / sum_j exp(x[j] - max x)   along `axis`
//   dx[i] = y[i] (dy[i] - sum_j dy[j] y[j])
// Source: ONNX Softmax-13; max subtraction as in Goodfellow et al., Deep Learning, sec. 4.1.
// SPDX-License-Identifier: Apache-2.0
#include "base/axes.hpp"
#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {
namespace {

void infer_softmax(OpCall& call) {
  const TensorType& x = call.input(0);
  HPDLF_CHECK(x.dtype == DType::f32, "{} is {}; {} takes f32", call.spec->inputs[0].name,
              to_string(x), call.spec->name);
  for (const auto& other : call.inputs)
    HPDLF_CHECK(other == x, "operands are {} and {}; they must be alike", to_string(x),
                to_string(other));
  HPDLF_CHECK(x.elements() > 0, "x is {}: nothing to normalise", to_string(x));
  (void)normalized_axis(call.attrs->integer("axis"), x.extents.rank());
  same_as_first_input(call);
}

std::string softmax_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  const int axis = normalized_axis(call.attrs->integer("axis"), rank);
  const std::string dims = rule_dims(
      rank, [&](int i, const std::string& letter) { return i == axis ? letter + "!" : letter; });
  return (call.inputs.size() == 1 ? dims : dims + ", " + dims) + " -> " + dims;
}

/// exp counted as its 15 operations.
Cost softmax_cost(const OpCall& call) { return streaming_cost(call, 20); }
Cost softmax_grad_cost(const OpCall& call) { return streaming_cost(call, 4); }

void softmax_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("SoftmaxGrad", {g.output(0), g.grad_output(0)}, g.attrs()));
}

}  // namespace

void register_softmax_ops(OpRegistry& registry) {
  const std::vector<AttrSpec> attrs = {
      {"axis", std::int64_t{-1}, "axis to normalise; negative counts from the back"}};
  registry.add({.name = "Softmax",
                .onnx = {"Softmax", 13},
                .doc = "Scales each slice of x along `axis` to positive numbers that sum to 1.",
                .inputs = {{"x", "f32, rank >= 1"}},
                .outputs = {{"y", "like x"}},
                .attrs = attrs,
                .rule_for = softmax_rule,
                .infer = infer_softmax,
                .cost = softmax_cost,
                .gradient = softmax_gradient,
                .in_place = {{0, 0}}});
  registry.add({.name = "SoftmaxGrad",
                .doc = "Gradient of Softmax, from its result.",
                .inputs = {{"y", "of Softmax"}, {"dy", "like y"}},
                .outputs = {{"dx", "like y"}},
                .attrs = attrs,
                .rule_for = softmax_rule,
                .infer = infer_softmax,
                .cost = softmax_grad_cost,
                .in_place = {{0, 0}, {0, 1}}});
}

}  // namespace hpdlf::graph
