// Elementwise functions of one operand and their gradients. Kernels: codelets/cpu/activation.cc.
//   Relu, LeakyRelu, Sigmoid, Tanh   the gradient reads y, so that x need not be kept
//   Gelu                             x Phi(x), exact or by tanh; the gradient reads x
//   Neg                              -x
// Source: ONNX Relu-14, LeakyRelu-16, Sigmoid-13, Tanh-13, Gelu-20, Neg-13; Hendrycks, Gimpel, Gaussian error linear units, 2016.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

void infer_elementwise(OpCall& call) {
  const TensorType& x = call.input(0);
  HPDLF_CHECK(x.dtype == DType::f32 || x.dtype == DType::bf16, "{} is {}; {} takes f32 and bf16",
              call.spec->inputs[0].name, to_string(x), call.spec->name);
  for (const auto& other : call.inputs)
    HPDLF_CHECK(other == x, "operands are {} and {}; they must be alike", to_string(x),
                to_string(other));
  same_as_first_input(call);
}

/// The gradient needs the sign of x and has only y.
void infer_leaky_relu(OpCall& call) {
  HPDLF_CHECK(call.attrs->real("alpha") >= 0, "alpha={} of a LeakyRelu must not be negative",
              call.attrs->real("alpha"));
  infer_elementwise(call);
}

void infer_gelu(OpCall& call) {
  const std::string& approximate = call.attrs->string("approximate");
  HPDLF_CHECK(approximate == "none" || approximate == "tanh",
              "approximate=`{}` of a Gelu; it can be none or tanh", approximate);
  infer_elementwise(call);
}

/// Polynomials of exp and erf are counted as multiplications and additions.
template <int flops>
Cost elementwise_cost(const OpCall& call) {
  return streaming_cost(call, flops);
}

/// dx = XGrad(y, dy)
void gradient_from_output(GradContext& g) {
  g.set_grad_input(
      0, g.emit(g.node().spec->name + "Grad", {g.output(0), g.grad_output(0)}, g.attrs()));
}

/// dx = XGrad(x, dy)
void gradient_from_input(GradContext& g) {
  g.set_grad_input(0,
                   g.emit(g.node().spec->name + "Grad", {g.input(0), g.grad_output(0)}, g.attrs()));
}

void neg_gradient(GradContext& g) { g.set_grad_input(0, g.emit("Neg", {g.grad_output(0)})); }

struct Activation {
  std::string name;
  OnnxName onnx;
  std::string doc;
  std::string gradient_reads;  ///< "y" or "x"
  std::vector<AttrSpec> attrs = {};
  void (*infer)(OpCall&) = infer_elementwise;
  Cost (*cost)(const OpCall&) = elementwise_cost<1>;
};

/// Registers the function and its gradient.
void add_activation(OpRegistry& registry, const Activation& a) {
  const bool from_output = a.gradient_reads == "y";
  registry.add({.name = a.name,
                .onnx = a.onnx,
                .doc = a.doc,
                .inputs = {{"x", "f32 or bf16, any rank"}},
                .outputs = {{"y", "like x"}},
                .attrs = a.attrs,
                .rule = "... -> ...",
                .infer = a.infer,
                .cost = a.cost,
                .gradient = from_output ? gradient_from_output : gradient_from_input,
                .bf16_inputs = {0},
                .in_place = {{0, 0}}});
  registry.add(
      {.name = a.name + "Grad",
       .doc = "Gradient of " + a.name + ", from its " + (from_output ? "result." : "argument."),
       .inputs = {{a.gradient_reads, "of " + a.name}, {"dy", "like " + a.gradient_reads}},
       .outputs = {{"dx", "like dy"}},
       .attrs = a.attrs,
       .rule = "..., ... -> ...",
       .infer = a.infer,
       .cost = a.cost,
       .in_place = {{0, 1}, {0, 0}}});
}

}  // namespace

void register_activation_ops(OpRegistry& registry) {
  add_activation(registry, {.name = "Relu",
                            .onnx = {"Relu", 14},
                            .doc = "max(x, 0); NaN stays NaN.",
                            .gradient_reads = "y"});
  add_activation(registry,
                 {.name = "LeakyRelu",
                  .onnx = {"LeakyRelu", 16},
                  .doc = "x where x > 0, else alpha * x.",
                  .gradient_reads = "y",
                  .attrs = {{"alpha", 0.01, "slope for negative arguments, not negative itself"}},
                  .infer = infer_leaky_relu,
                  .cost = elementwise_cost<2>});
  add_activation(registry, {.name = "Sigmoid",
                            .onnx = {"Sigmoid", 13},
                            .doc = "1 / (1 + exp(-x)).",
                            .gradient_reads = "y",
                            .cost = elementwise_cost<20>});
  add_activation(registry, {.name = "Tanh",
                            .onnx = {"Tanh", 13},
                            .doc = "Hyperbolic tangent.",
                            .gradient_reads = "y",
                            .cost = elementwise_cost<25>});
  add_activation(registry,
                 {.name = "Gelu",
                  .onnx = {"Gelu", 20},
                  .doc = "x Phi(x), Phi the normal distribution function.",
                  .gradient_reads = "x",
                  .attrs = {{"approximate", std::string("none"),
                             "none, or tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))"}},
                  .infer = infer_gelu,
                  .cost = elementwise_cost<40>});
  registry.add({.name = "Neg",
                .onnx = {"Neg", 13},
                .doc = "-x.",
                .inputs = {{"x", "f32 or bf16, any rank"}},
                .outputs = {{"y", "like x"}},
                .rule = "... -> ...",
                .infer = infer_elementwise,
                .cost = elementwise_cost<1>,
                .gradient = neg_gradient,
                .bf16_inputs = {0},
                .in_place = {{0, 0}}});
}

}  // namespace hpdlf::graph
