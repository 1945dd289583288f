// Cases of the elementwise functions of one operand.
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

using Function = double (*)(double x, const Attrs& attrs);

double relu(double x, const Attrs&) { return x > 0 ? x : 0; }
double leaky_relu(double x, const Attrs& attrs) { return x > 0 ? x : attrs.real("alpha") * x; }
double sigmoid(double x, const Attrs&) { return 1 / (1 + std::exp(-x)); }
double tanh(double x, const Attrs&) { return std::tanh(x); }
double gelu(double x, const Attrs& attrs) {
  if (attrs.string("approximate") == "none") return x * std::erfc(-x / std::sqrt(2.0)) / 2;
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double neg(double x, const Attrs&) { return -x; }

double relu_slope(double y, const Attrs&) { return y > 0 ? 1 : 0; }
double leaky_relu_slope(double y, const Attrs& attrs) { return y > 0 ? 1 : attrs.real("alpha"); }
double sigmoid_slope(double y, const Attrs&) { return y * (1 - y); }
double tanh_slope(double y, const Attrs&) { return 1 - y * y; }
double gelu_slope(double x, const Attrs& attrs) {
  constexpr double kStep = 1e-6;  // central difference: right to 1e-9
  return (gelu(x + kStep, attrs) - gelu(x - kStep, attrs)) / (2 * kStep);
}

struct Activation {
  std::string op;
  Function value, slope;  // slope: as a function of what the gradient reads
  Draw draw = Draw::uniform(-6, 6);
  Attrs attrs = {};
  std::string suffix = {};
};

std::vector<Activation> activations() {
  return {
      {.op = "Relu", .value = relu, .slope = relu_slope, .draw = Draw::nonzero()},
      {.op = "LeakyRelu",
       .value = leaky_relu,
       .slope = leaky_relu_slope,
       .draw = Draw::nonzero(),
       .attrs = {{"alpha", 0.1}}},
      {.op = "LeakyRelu",
       .value = leaky_relu,
       .slope = leaky_relu_slope,
       .draw = Draw::nonzero(),
       .suffix = "_default"},
      {.op = "Sigmoid", .value = sigmoid, .slope = sigmoid_slope},
      {.op = "Sigmoid",
       .value = sigmoid,
       .slope = sigmoid_slope,
       .draw = Draw::uniform(-120, 120),
       .suffix = "_far"},
      {.op = "Tanh", .value = tanh, .slope = tanh_slope, .draw = Draw::uniform(-3, 3)},
      {.op = "Gelu", .value = gelu, .slope = gelu_slope},
      {.op = "Gelu",
       .value = gelu,
       .slope = gelu_slope,
       .attrs = {{"approximate", std::string("tanh")}},
       .suffix = "_tanh"},
      // Where Phi(x) is tiny, f32 must still know it: an absolute error of erf would show here.
      {.op = "Gelu",
       .value = gelu,
       .slope = gelu_slope,
       .draw = Draw::uniform(-9, -4),
       .suffix = "_tail"},
  };
}

struct Shape {
  std::string name;
  Extents extents;
  DType dtype = DType::f32;
};

void add_cases(std::vector<OpCase>& cases, const Activation& a, const Shape& shape) {
  const graph::TensorType type{shape.dtype, shape.extents};
  const Function value = a.value, slope = a.slope;
  const InputCase x{.dtype = shape.dtype, .extents = shape.extents, .draw = a.draw};
  cases.push_back({.name = shape.name + a.suffix,
                   .op = a.op,
                   .attrs = a.attrs,
                   .inputs = {x},
                   .outputs = {type},
                   .reference =
                       [value](ReferenceCall& call) {
                         for (std::int64_t i = 0; i < call.in(0).elements(); ++i)
                           call.out(0)[i] = value(call.in(0)[i], call.attrs);
                       },
                   .slack = 4,
                   .differentiate = {0}});
  cases.push_back({.name = shape.name + a.suffix,
                   .op = a.op + "Grad",
                   .attrs = a.attrs,
                   .inputs = {x, {.dtype = shape.dtype, .extents = shape.extents}},
                   .outputs = {type},
                   .reference =
                       [slope](ReferenceCall& call) {
                         for (std::int64_t i = 0; i < call.in(0).elements(); ++i)
                           call.out(0)[i] = slope(call.in(0)[i], call.attrs) * call.in(1)[i];
                       },
                   .slack = 4});
}

void negate(ReferenceCall& call) {
  for (std::int64_t i = 0; i < call.in(0).elements(); ++i)
    call.out(0)[i] = neg(call.in(0)[i], call.attrs);
}

}  // namespace

std::vector<OpCase> activation_cases() {
  std::vector<OpCase> cases;
  for (const auto& activation : activations()) {
    add_cases(cases, activation, {"2x3x5x7x5", {2, 3, 5, 7, 5}});
    if (activation.suffix.empty()) add_cases(cases, activation, {"1", {1}});
  }
  add_cases(cases, activations()[0], {"scalar", {}});
  add_cases(cases, activations()[0], {"bf16_3x5x17", {3, 5, 17}, DType::bf16});
  add_cases(cases, activations()[3], {"bf16_3x5x17", {3, 5, 17}, DType::bf16});
  cases.push_back({.name = "3x5x17",
                   .op = "Neg",
                   .inputs = {{.extents = {3, 5, 17}}},
                   .outputs = {{DType::f32, {3, 5, 17}}},
                   .reference = negate,
                   .differentiate = {0}});
  cases.push_back({.name = "negative_alpha",
                   .op = "LeakyRelu",
                   .attrs = {{"alpha", -0.1}},
                   .inputs = {{.extents = {3}}},
                   .error = "alpha=-0.1 of a LeakyRelu must not be negative"});
  cases.push_back({.name = "other_approximation",
                   .op = "Gelu",
                   .attrs = {{"approximate", std::string("fast")}},
                   .inputs = {{.extents = {3}}},
                   .error = "approximate=`fast` of a Gelu"});
  cases.push_back({.name = "f64",
                   .op = "Relu",
                   .inputs = {{.dtype = DType::f64, .extents = {3}}},
                   .error = "x is f64[3]; Relu takes f32 and bf16"});
  return cases;
}

}  // namespace hpdlf::test
