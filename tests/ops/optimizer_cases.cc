// Cases of the optimizer steps.
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

/// torch.optim.SGD of PyTorch 2, as its documentation writes it.
void sgd_reference(ReferenceCall& call) {
  const double momentum = call.attrs.real("momentum"), dampening = call.attrs.real("dampening");
  for (std::int64_t i = 0; i < call.in(0).elements(); ++i) {
    double g = call.in(1)[i] + call.attrs.real("weight_decay") * call.in(0)[i];
    const double b = momentum * call.in(2)[i] + (1 - dampening) * g;
    if (momentum != 0) g = call.attrs.integer("nesterov") != 0 ? g + momentum * b : b;
    call.out(0)[i] = call.in(0)[i] - call.in(3)[0] * g;
    call.out(1)[i] = b;
  }
}

/// torch.optim.AdamW of PyTorch 2, as its documentation writes it.
void adamw_reference(ReferenceCall& call) {
  const double beta1 = call.has_input(6) ? call.in(6)[0] : call.attrs.real("beta1");
  const double beta2 = call.attrs.real("beta2"), rate = call.in(4)[0], t = call.in(5)[0];
  for (std::int64_t i = 0; i < call.in(0).elements(); ++i) {
    const double g = call.in(1)[i];
    const double p = call.in(0)[i] - rate * call.attrs.real("weight_decay") * call.in(0)[i];
    const double m = beta1 * call.in(2)[i] + (1 - beta1) * g;
    const double v = beta2 * call.in(3)[i] + (1 - beta2) * g * g;
    const double mean = m / (1 - std::pow(beta1, t)), square = v / (1 - std::pow(beta2, t));
    call.out(0)[i] = p - rate * mean / (std::sqrt(square) + call.attrs.real("epsilon"));
    call.out(1)[i] = m;
    call.out(2)[i] = v;
  }
}

OpCase sgd(const std::string& name, const Extents& param, const Attrs& attrs) {
  const InputCase tensor{.extents = param};
  const graph::TensorType type{DType::f32, param};
  return {.name = name,
          .op = "SGD",
          .attrs = attrs,
          .inputs = {tensor, tensor, tensor, {.extents = {}, .draw = Draw::constant(0.1)}},
          .outputs = {type, type},
          .reference = sgd_reference};
}

OpCase adamw(const std::string& name, const Extents& param, double step, const Attrs& attrs = {}) {
  const InputCase tensor{.extents = param};
  const graph::TensorType type{DType::f32, param};
  return {.name = name,
          .op = "AdamW",
          .attrs = attrs,
          .inputs = {tensor,
                     tensor,
                     tensor,
                     {.extents = param, .draw = Draw::uniform(0, 1)},
                     {.extents = {}, .draw = Draw::constant(0.01)},
                     {.extents = {}, .draw = Draw::constant(step)}},
          .outputs = {type, type, type},
          .reference = adamw_reference};
}

/// beta1 given anew every step, as one-cycle schedules do.
OpCase adamw_cycled() {
  OpCase c = adamw("cycled_beta1_17", {17}, 5);
  c.inputs.push_back({.extents = {}, .draw = Draw::constant(0.875)});
  return c;
}

}  // namespace

std::vector<OpCase> optimizer_cases() {
  const std::int64_t yes = 1;
  return {
      sgd("plain_5x3x3x3x7", {5, 3, 3, 3, 7}, {}),
      sgd("momentum_5x2x3x7", {5, 2, 3, 7}, {{"momentum", 0.9}}),
      sgd("nesterov_decay_33x5", {33, 5},
          {{"momentum", 0.9}, {"nesterov", yes}, {"weight_decay", 0.01}}),
      sgd("dampening_37", {37}, {{"momentum", 0.8}, {"dampening", 0.3}}),
      sgd("scalar", {}, {{"momentum", 0.9}}),
      adamw("first_step_5x3x3x3x7", {5, 3, 3, 3, 7}, 1),
      adamw_cycled(),
      adamw("step_1000_7x2x11", {7, 2, 11}, 1000),
      adamw("options_33", {33}, 7,
            {{"beta1", 0.8}, {"beta2", 0.95}, {"epsilon", 1e-3}, {"weight_decay", 0.2}}),
      {.name = "nesterov_without_momentum",
       .op = "SGD",
       .attrs = {{"nesterov", yes}},
       .inputs = sgd("", {3}, {}).inputs,
       .error = "nesterov with momentum=0 and dampening=0; it needs a momentum"},
      {.name = "other_gradient",
       .op = "AdamW",
       .inputs = {{.extents = {3}},
                  {.extents = {4}},
                  {.extents = {3}},
                  {.extents = {3}},
                  {.extents = {}},
                  {.extents = {}}},
       .error = "grad is f32[4] but must be f32[3]"},
      {.name = "beta_of_one",
       .op = "AdamW",
       .attrs = {{"beta2", 1.0}},
       .inputs = adamw("", {3}, 1).inputs,
       .error = "beta2=1 must be in [0, 1)"},
  };
}

}  // namespace hpdlf::test
