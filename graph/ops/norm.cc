// Normalisation over space (InstanceNorm: statistics [n, 2, c]) or over samples and space (BatchNorm: statistics [1, 2, c]).
//   Moments              sums = (sum x, sum x^2) per statistic; a cut of space or samples gives partial sums
//   Normalize            mean, var from sums; xhat = (x - mean) / sqrt(var + epsilon); z = gamma * xhat + beta; y = activation(z)
//   NormalizeGradSums    dz = dy * activation'(z);  gsums = (sum dz, sum dz * xhat)
//   NormalizeGradInput   dx = gamma / sqrt(var + epsilon) * (dz - gsums0 / N - xhat * gsums1 / N),   N elements a statistic
//   NormalizeGradParams  dgamma = sum_n gsums1, dbeta = sum_n gsums0
//   RunningMoments       running += momentum * (now - running), the variance unbiased
//   NormalizeInference   Normalize with given mean and variance
//   NormalizeCoefficients   (shift, scale, offset) with z = (x - shift) * scale + offset: for operators that normalise what they read
// The derivative by x in NormalizeGradInput is the whole one, through mean and variance too: nothing flows to `sums`.
// z is computed again from x in the backward pass: neither xhat nor z is stored.
// Source: Ioffe, Szegedy, Batch normalization, 2015, sec. 3; Ulyanov et al., Instance normalization, 2016. Kernels: codelets/cpu/norm.cc.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {
namespace {

void check_data(const TensorType& x) {
  HPDLF_CHECK(x.dtype == DType::f32 || x.dtype == DType::bf16,
              "x is {}; normalisation takes f32 and bf16", to_string(x));
  HPDLF_CHECK(x.extents.rank() >= 2 && x.elements() > 0,
              "x is {}; it must be [n, ..., c] and not empty", to_string(x));
}

void check_statistics(const TensorType& sums, const TensorType& x) {
  const TensorType per_sample{DType::f64, {x.extents[0], 2, x.extents.back()}};
  const TensorType overall{DType::f64, {1, 2, x.extents.back()}};
  HPDLF_CHECK(sums == per_sample || sums == overall,
              "statistics are {}; those of x {} are {} or {}", to_string(sums), to_string(x),
              to_string(per_sample), to_string(overall));
}

/// Inputs `first`, ... < `last` are one f32 a channel.
void check_channels(const OpCall& call, int first, int last, std::int64_t channels) {
  const TensorType expected{DType::f32, {channels}};
  for (int i = first; i < last; ++i)
    HPDLF_CHECK(call.input(i) == expected, "{} is {}; one number a channel is {}",
                call.spec->inputs[static_cast<std::size_t>(i)].name, to_string(call.input(i)),
                to_string(expected));
}

void check_activation(const Attrs& attrs) {
  const std::string& activation = attrs.string("activation");
  HPDLF_CHECK(activation.empty() || activation == "Relu" || activation == "LeakyRelu",
              "activation `{}` cannot be fused into a normalisation; \"\", Relu and LeakyRelu can",
              activation);
  HPDLF_CHECK(attrs.real("alpha") >= 0, "alpha={} of a LeakyRelu must not be negative",
              attrs.real("alpha"));
}

void infer_moments(OpCall& call) {
  const TensorType& x = call.input(0);
  check_data(x);
  call.outputs = {
      {DType::f64, {call.attrs->integer("batch") != 0 ? 1 : x.extents[0], 2, x.extents.back()}}};
}

/// x, sums, gamma, beta, ...
void infer_normalize(OpCall& call) {
  const TensorType& x = call.input(0);
  check_data(x);
  check_statistics(call.input(1), x);
  check_channels(call, 2, 4, x.extents.back());
  check_activation(*call.attrs);
  for (std::size_t i = 4; i < call.inputs.size(); ++i) {
    const TensorType& expected = i == 4 ? x : call.input(1);  // dy, gsums
    HPDLF_CHECK(call.inputs[i] == expected, "{} is {} but must be {}", call.spec->inputs[i].name,
                to_string(call.inputs[i]), to_string(expected));
  }
  call.outputs = {call.spec->name == "NormalizeGradSums" ? call.input(1) : x};
}

void infer_inference(OpCall& call) {
  const TensorType& x = call.input(0);
  check_data(x);
  check_channels(call, 1, 5, x.extents.back());
  check_activation(*call.attrs);
  call.outputs = {x};
}

void infer_grad_params(OpCall& call) {
  const TensorType& gsums = call.input(0);
  HPDLF_CHECK(gsums.dtype == DType::f64 && gsums.extents.rank() == 3 && gsums.extents[1] == 2,
              "gsums are {}; they must be f64[n,2,c]", to_string(gsums));
  call.outputs.assign(2, {DType::f32, {gsums.extents[2]}});
}

void infer_coefficients(OpCall& call) {
  const TensorType& sums = call.input(0);
  HPDLF_CHECK(sums.dtype == DType::f64 && sums.extents.rank() == 3 && sums.extents[1] == 2,
              "sums are {}; they must be f64[n,2,c]", to_string(sums));
  HPDLF_CHECK(call.attrs->integer("count") > 0, "count={}: nothing was summed",
              call.attrs->integer("count"));
  check_channels(call, 1, 3, sums.extents[2]);
  call.outputs = {{DType::f32, {sums.extents[0], 3, sums.extents[2]}}};
}

void infer_running(OpCall& call) {
  const TensorType& sums = call.input(0);
  HPDLF_CHECK(sums.dtype == DType::f64 && sums.extents.rank() == 3 && sums.extents[0] == 1 &&
                  sums.extents[1] == 2,
              "sums are {}; they must be f64[1,2,c]", to_string(sums));
  HPDLF_CHECK(call.attrs->integer("count") > 1, "count={}: a variance needs at least 2 elements",
              call.attrs->integer("count"));
  check_channels(call, 1, 3, sums.extents[2]);
  call.outputs = {call.input(1), call.input(2)};
}

/// "n 2 c", or "1 2 c" for statistics over all samples.
std::string statistic_dims(bool overall) { return overall ? "1 2 c" : "n 2 c"; }

std::string moments_rule(const OpCall& call) {
  return usual_letters(call.input(0).extents.rank()) + " -> " +
         statistic_dims(call.attrs->integer("batch") != 0);
}

std::string normalize_rule(const OpCall& call) {
  const std::string x = usual_letters(call.input(0).extents.rank());
  const std::string sums = statistic_dims(call.input(1).extents[0] != call.input(0).extents[0]);
  std::string text = x + ", " + sums + ", c, c";
  if (call.inputs.size() > 4) text += ", " + x;
  if (call.inputs.size() > 5) text += ", " + sums;
  return text + " -> " + (call.spec->name == "NormalizeGradSums" ? sums : x);
}

std::string inference_rule(const OpCall& call) {
  const std::string x = usual_letters(call.input(0).extents.rank());
  return x + ", c, c, c, c -> " + x;
}

std::string grad_params_rule(const OpCall& call) {
  return call.input(0).extents[0] == 1 ? "1 2 c -> c, c" : "n 2 c -> c, c";
}

/// `flops` an element of x, whatever the output is.
template <int flops>
Cost cost_per_input(const OpCall& call) {
  Cost cost = streaming_cost(call, 0);
  cost.flops = flops * static_cast<double>(call.input(0).elements());
  return cost;
}

void normalize_gradient(GradContext& g) {
  const ValueId x = g.input(0), sums = g.input(1), gamma = g.input(2), beta = g.input(3),
                dy = g.grad_output(0);
  const ValueId gsums = g.emit("NormalizeGradSums", {x, sums, gamma, beta, dy}, g.attrs());
  if (g.wants_grad(2) || g.wants_grad(3)) {
    const auto grads = g.emit_all("NormalizeGradParams", {gsums}, {});
    if (g.wants_grad(2)) g.set_grad_input(2, grads[0]);
    if (g.wants_grad(3)) g.set_grad_input(3, grads[1]);
  }
  if (g.wants_grad(0))
    g.set_grad_input(0, g.emit("NormalizeGradInput", {x, sums, gamma, beta, dy, gsums}, g.attrs()));
}

std::vector<AttrSpec> normalize_attrs() {
  return {{"epsilon", 1e-5, "added to the variance"},
          {"activation", std::string(), "fused after it: \"\", Relu or LeakyRelu"},
          {"alpha", 0.01, "slope of LeakyRelu for negative arguments, not negative"}};
}

/// Normalize and the two passes of its gradient over x differ in operands and purpose only.
OpSpec normalize_spec(std::string name, std::string doc, std::vector<OperandSpec> inputs,
                      OperandSpec output) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = std::move(inputs),
          .outputs = {std::move(output)},
          .attrs = normalize_attrs(),
          .rule_for = normalize_rule,
          .infer = infer_normalize,
          .cost = cost_per_input<8>};
}

}  // namespace

void register_norm_ops(OpRegistry& registry) {
  const OperandSpec x{"x", "f32 or bf16 [n, ..., c]"};
  const OperandSpec sums{"sums", "Moments of x: f64 [n, 2, c], or [1, 2, c] over all samples"};
  const OperandSpec gamma{"gamma", "f32 [c]"};
  const OperandSpec beta{"beta", "f32 [c]"};
  const OperandSpec dy{"dy", "like x"};
  const OperandSpec gsums{"gsums", "(sum dz, sum dz * xhat), like sums"};

  registry.add({.name = "Moments",
                .doc = "Sums of x and of x^2 over space, or over samples and space (batch=1).",
                .inputs = {x},
                .outputs = {sums},
                .attrs = {{"batch", std::int64_t{0}, "1: over samples too"}},
                .rule_for = moments_rule,
                .infer = infer_moments,
                .cost = cost_per_input<3>,
                .bf16_inputs = {0}});

  OpSpec normalize = normalize_spec(
      "Normalize",
      "Scales x to mean 0 and variance 1 per statistic, then by gamma, beta and an activation.",
      {x, sums, gamma, beta}, {"y", "like x"});
  normalize.gradient = normalize_gradient;
  normalize.no_gradient_inputs = {1};
  normalize.bf16_inputs = {0};
  normalize.in_place = {{0, 0}};
  registry.add(std::move(normalize));

  registry.add(normalize_spec("NormalizeGradSums",
                              "Sums over dz and dz * xhat that the gradients of Normalize share.",
                              {x, sums, gamma, beta, dy}, gsums));

  OpSpec grad_input = normalize_spec("NormalizeGradInput",
                                     "Gradient of Normalize by x, through the statistics too.",
                                     {x, sums, gamma, beta, dy, gsums}, {"dx", "like x"});
  grad_input.in_place = {{0, 4}};
  registry.add(std::move(grad_input));

  registry.add({.name = "NormalizeGradParams",
                .doc = "Gradients of Normalize by gamma and beta.",
                .inputs = {gsums},
                .outputs = {{"dgamma", "f32 [c]"}, {"dbeta", "f32 [c]"}},
                .rule_for = grad_params_rule,
                .infer = infer_grad_params,
                .cost = cost_per_input<1>});

  registry.add({.name = "RunningMoments",
                .doc = "Moves running mean and (unbiased) variance towards those of the batch.",
                .inputs = {{"sums", "f64 [1, 2, c]"}, {"mean", "f32 [c]"}, {"variance", "f32 [c]"}},
                .outputs = {{"new_mean", "f32 [c]"}, {"new_variance", "f32 [c]"}},
                .attrs = {{"momentum", 0.1, "weight of the batch"},
                          {"count", std::int64_t{2}, "elements a statistic sums over", true}},
                .rule = "1 2 c, c, c -> c, c",
                .infer = infer_running,
                .cost = cost_per_input<4>,
                .in_place = {{0, 1}, {1, 2}}});

  registry.add({.name = "NormalizeCoefficients",
                .doc = "Shift, scale and offset a channel with which (x - shift) * scale + offset "
                       "is Normalize without activation.",
                .inputs = {sums, gamma, beta},
                .outputs = {{"coefficients", "f32 [n, 3, c], or [1, 3, c] over all samples"}},
                .attrs = {{"epsilon", 1e-5, "added to the variance"},
                          {"count", std::int64_t{1}, "elements a statistic sums over", true}},
                .rule = "n 2 c, c, c -> n 3 c",
                .infer = infer_coefficients,
                .cost = cost_per_input<8>});

  registry.add({.name = "NormalizeInference",
                .onnx = {"BatchNormalization", 15},
                .doc = "Normalize with given mean and variance.",
                .inputs = {x, {"mean", "f32 [c]"}, {"variance", "f32 [c]"}, gamma, beta},
                .outputs = {{"y", "like x"}},
                .attrs = normalize_attrs(),
                .rule_for = inference_rule,
                .infer = infer_inference,
                .cost = cost_per_input<3>,
                .bf16_inputs = {0},
                .in_place = {{0, 0}}});
}

}  // namespace hpdlf::graph
