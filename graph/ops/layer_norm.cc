// Layer normalisation over the last axis.
//   LayerNormalization       y = gamma * xhat + beta, xhat = (x - mean) / sqrt(variance + epsilon), mean and variance of the row
//   LayerNormalizationGrad   g = dy * gamma, dx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(variance + epsilon),
//                            dgamma = sum over rows of dy * xhat, dbeta = sum over rows of dy
// Mean and variance are computed again in the backward pass: it reads x anyway, and a row stays in cache.
// Source: ONNX LayerNormalization-17 with axis = -1; Ba, Kiros, Hinton, Layer normalization, 2016. Kernels: codelets/cpu/layer_norm.cc.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

void check_row_vector(const OpCall& call, int operand) {
  const TensorType expected{DType::f32, {call.input(0).extents.back()}};
  HPDLF_CHECK(call.input(operand) == expected, "{} is {}; for x {} it must be {}",
              call.spec->inputs[static_cast<std::size_t>(operand)].name,
              to_string(call.input(operand)), to_string(call.input(0)), to_string(expected));
}

void check_x(const OpCall& call) {
  const TensorType& x = call.input(0);
  HPDLF_CHECK((x.dtype == DType::f32 || x.dtype == DType::bf16) && x.extents.rank() >= 2 &&
                  x.elements() > 0,
              "x is {}; layer normalisation takes f32 or bf16 [.., c] that is not empty",
              to_string(x));
  HPDLF_CHECK(call.attrs->real("epsilon") > 0, "epsilon={} must be positive",
              call.attrs->real("epsilon"));
}

void infer_layer_norm(OpCall& call) {  // x, gamma, beta
  check_x(call);
  check_row_vector(call, 1);
  if (call.inputs.size() > 2) check_row_vector(call, 2);
  call.outputs = {call.input(0)};
}

void infer_layer_norm_grad(OpCall& call) {  // x, gamma, dy
  check_x(call);
  check_row_vector(call, 1);
  HPDLF_CHECK(call.input(2) == call.input(0), "dy is {} but must be like x, {}",
              to_string(call.input(2)), to_string(call.input(0)));
  call.outputs = {call.input(0), call.input(1), call.input(1)};
}

Cost layer_norm_cost(const OpCall& call) { return streaming_cost(call, 8); }
Cost layer_norm_grad_cost(const OpCall& call) { return streaming_cost(call, 18); }

void layer_norm_gradient(GradContext& g) {
  const auto grads =
      g.emit_all("LayerNormalizationGrad", {g.input(0), g.input(1), g.grad_output(0)}, g.attrs());
  for (int i = 0; i < static_cast<int>(g.node().inputs.size()); ++i)
    g.set_grad_input(i, grads[static_cast<std::size_t>(i)]);
}

}  // namespace

void register_layer_norm_ops(OpRegistry& registry) {
  const std::vector<AttrSpec> attrs = {{"epsilon", 1e-5, "added to the variance"}};
  const OperandSpec x{"x", "f32 or bf16 [.., c]"}, gamma{"gamma", "f32 [c]"};
  registry.add({.name = "LayerNormalization",
                .onnx = {"LayerNormalization", 17},
                .doc = "Scales each row of the last axis to mean 0 and variance 1, then by gamma "
                       "and beta.",
                .inputs = {x, gamma, {"beta", "f32 [c]", OperandSpec::Arity::optional}},
                .outputs = {{"y", "like x"}},
                .attrs = attrs,
                .rule = "... c!, c!, c! -> ... c!",
                .infer = infer_layer_norm,
                .cost = layer_norm_cost,
                .gradient = layer_norm_gradient,
                .bf16_inputs = {0},
                .in_place = {{0, 0}}});
  registry.add({.name = "LayerNormalizationGrad",
                .doc = "Gradients of LayerNormalization by x, gamma and beta.",
                .inputs = {x, gamma, {"dy", "like x"}},
                .outputs = {{"dx", "like x"}, {"dgamma", "f32 [c]"}, {"dbeta", "f32 [c]"}},
                .attrs = attrs,
                .rule = "... c!, c!, ... c! -> ... c!, c!, c!",
                .infer = infer_layer_norm_grad,
                .cost = layer_norm_grad_cost,
                .accumulates = true});
}

}  // namespace hpdlf::graph
