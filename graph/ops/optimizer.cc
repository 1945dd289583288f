// Optimizer steps, as PyTorch computes them. Kernels: codelets/cpu/optimizer.cc.
//   SGD    g += weight_decay p;  b = momentum b + (1 - dampening) g;  p -= lr (nesterov ? g + momentum b : b)
//          with b = 0 before the first step (torch.optim.SGD starts it from g: the same unless dampening is used)
//   AdamW  p -= lr weight_decay p;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;
//          p -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon),   t = step, from 1
// Sources: Sutskever et al., On the importance of initialization and momentum, 2013; Loshchilov, Hutter, Decoupled weight decay, 2019.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

/// param, grad, states, and then scalars: outputs are the new param and states.
template <int states>
void infer_step(OpCall& call) {
  const TensorType& param = call.input(0);
  HPDLF_CHECK(param.dtype == DType::f32, "param is {}; optimizers step f32", to_string(param));
  constexpr std::size_t kTensors = 2 + states;
  for (std::size_t i = 1; i < call.inputs.size(); ++i) {
    const TensorType expected = i < kTensors ? param : TensorType{DType::f32, {}};
    HPDLF_CHECK(call.inputs[i] == expected, "{} is {} but must be {}", call.spec->inputs[i].name,
                to_string(call.inputs[i]), to_string(expected));
  }
  call.outputs.assign(1 + states, param);
}

void infer_sgd(OpCall& call) {
  const double momentum = call.attrs->real("momentum"), dampening = call.attrs->real("dampening");
  HPDLF_CHECK(call.attrs->integer("nesterov") == 0 || (momentum > 0 && dampening == 0),
              "nesterov with momentum={} and dampening={}; it needs a momentum and no dampening",
              momentum, dampening);
  infer_step<1>(call);
}

void infer_adamw(OpCall& call) {
  for (const char* name : {"beta1", "beta2"})
    HPDLF_CHECK(call.attrs->real(name) >= 0 && call.attrs->real(name) < 1,
                "{}={} must be in [0, 1)", name, call.attrs->real(name));
  infer_step<2>(call);
}

/// The parameter's own dimensions, as the gradients of weights name them.
std::string step_rule(const OpCall& call) {
  constexpr std::string_view kLetters[] = {"()", "k", "k c", "k r c", "k r s c", "k r s t c"};
  const int rank = call.input(0).extents.rank();
  const std::string dims = rank < 6 ? std::string(kLetters[rank]) : usual_letters(rank);
  std::string text;
  for (std::size_t i = 0; i < call.inputs.size(); ++i)
    text += (i > 0 ? ", " : "") +
            (call.inputs[i].extents == call.input(0).extents ? dims : std::string("()"));
  text += " -> " + dims;
  for (std::size_t i = 1; i < call.outputs.size(); ++i) text += ", " + dims;
  return text;
}

Cost sgd_cost(const OpCall& call) { return streaming_cost(call, 6); }
Cost adamw_cost(const OpCall& call) {
  return streaming_cost(call, 30);
}  // a division and a square root counted as 10 each

}  // namespace

void register_optimizer_ops(OpRegistry& registry) {
  const OperandSpec param{"param", "f32, any rank"}, grad{"grad", "like param"},
      rate{"lr", "f32 scalar: learning rate"};
  const AttrSpec decay{"weight_decay", 0.0, "strength of the pull towards 0"};
  registry.add(
      {.name = "SGD",
       .doc = "Step of stochastic gradient descent with momentum.",
       .inputs = {param, grad, {"momentum_buffer", "like param; 0 before the first step"}, rate},
       .outputs = {{"new_param", "like param"}, {"new_momentum_buffer", "like param"}},
       .attrs = {{"momentum", 0.0, "weight of the steps before"},
                 {"dampening", 0.0, "takes this part of the gradient away from the buffer"},
                 {"nesterov", std::int64_t{0}, "1: look ahead"},
                 decay},
       .rule_for = step_rule,
       .infer = infer_sgd,
       .cost = sgd_cost,
       .in_place = {{0, 0}, {1, 2}}});
  registry.add(
      {.name = "AdamW",
       .doc = "Step of Adam with decoupled weight decay.",
       .inputs = {param,
                  grad,
                  {"m", "like param: mean gradient"},
                  {"v", "like param: mean squared gradient"},
                  rate,
                  {"step", "f32 scalar, 1 in the first step"},
                  {"cycled_beta1", "f32 scalar: beta1 of this step, instead of the attribute",
                   OperandSpec::Arity::optional}},
       .outputs = {{"new_param", "like param"}, {"new_m", "like param"}, {"new_v", "like param"}},
       .attrs = {{"beta1", 0.9, "decay of m"},
                 {"beta2", 0.999, "decay of v"},
                 {"epsilon", 1e-8, "added to the root"},
                 {"weight_decay", 0.01, "strength of the pull towards 0"}},
       .rule_for = step_rule,
       .infer = infer_adamw,
       .cost = adamw_cost,
       .in_place = {{0, 0}, {1, 2}, {2, 3}}});
}

}  // namespace hpdlf::graph
