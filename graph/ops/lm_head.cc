// The head of a language model with its cross-entropy: the scores of all tokens for all words are never stored.
//   LmHeadSums       s = sum_k exp(x table[k] - x target_row), target_row = table[target]:   exp of a token's loss
//   LmHeadSumsGrad   p[k] = exp(x table[k] - x target_row) ds, less the sum of these where k is the target;
//                    dtable[k] = sum over tokens of p[k] x, dx = sum_k p[k] table[k]: the whole derivative, through target_row too
//   LmHeadLossSums   sums = (sum over tokens of log s, number of tokens), for CrossEntropyLoss
//   LmHeadLossSumsGrad   ds = gsums0 / s
// Measured from the target's score, the terms of s are sums over words like any other: the vocabulary may be cut, as the table is.
// The usual way, from the largest score, would need two passes over the parts. The kernels count scores more than 80 above the target's as 80: such a token has a
// probability below 1e-34, and its loss and gradient stay finite.
// Kernels: codelets/cpu/lm_head.cc.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

Extents leading(const TensorType& x) {
  Extents e;
  for (int i = 0; i + 1 < x.extents.rank(); ++i) e.push_back(x.extents[i]);
  return e;
}

void check_is(const OpCall& call, std::size_t i, const TensorType& expected) {
  HPDLF_CHECK(call.inputs[i] == expected, "{} is {}; for x {} it must be {}",
              call.spec->inputs[i].name, to_string(call.inputs[i]), to_string(call.input(0)),
              to_string(expected));
}

/// x, table, target_rows, targets
void check_scores(const OpCall& call) {
  const TensorType &x = call.input(0), &table = call.input(1), &targets = call.input(3);
  HPDLF_CHECK((x.dtype == DType::f32 || x.dtype == DType::bf16) && x.extents.rank() >= 2 &&
                  x.extents.rank() <= 5 && x.elements() > 0,
              "x is {}; it must be f32 or bf16 [.., channels] of 2 to 5 dimensions, not empty",
              to_string(x));
  HPDLF_CHECK(table.dtype == x.dtype && table.extents.rank() == 2 && table.extents[0] > 0 &&
                  table.extents[1] == x.extents.back(),
              "table is {}; for x {} it must be {} [words, {}]", to_string(table), to_string(x),
              name_of(x.dtype), x.extents.back());
  check_is(call, 2, x);
  HPDLF_CHECK(
      (targets.dtype == DType::u8 || targets.dtype == DType::i32 || targets.dtype == DType::i64) &&
          targets.extents == leading(x),
      "targets are {}; for x {} they must be integers of extents {}", to_string(targets),
      to_string(x), to_string(leading(x)));
}

void infer_sums(OpCall& call) {
  check_scores(call);
  call.outputs = {{DType::f64, leading(call.input(0))}};
}

void infer_sums_grad(OpCall& call) {  // ..., s, ds
  check_scores(call);
  for (const std::size_t i : {4U, 5U}) check_is(call, i, {DType::f64, leading(call.input(0))});
  call.outputs = {{DType::f32, call.input(1).extents}, {DType::f32, call.input(0).extents}};
}

void check_s(const TensorType& s) {
  HPDLF_CHECK(
      s.dtype == DType::f64 && s.extents.rank() >= 1 && s.extents.rank() <= 4 && s.elements() > 0,
      "s is {}; it must be f64 of 1 to 4 dimensions, not empty", to_string(s));
}

void infer_loss_sums(OpCall& call) {
  check_s(call.input(0));
  call.outputs = {{DType::f64, {2}}};
}

void infer_loss_sums_grad(OpCall& call) {
  check_s(call.input(0));
  HPDLF_CHECK(call.input(1) == (TensorType{DType::f64, {2}}), "gsums are {}; they must be f64[2]",
              to_string(call.input(1)));
  call.outputs = {call.input(0)};
}

/// "n t": letters of the tokens, `suffix` on each.
std::string token_dims(int rank, const std::string& suffix = "") {
  std::string text;
  for (const char c : usual_letters(rank + 1)) {
    if (c == 'c') break;
    text += c == ' ' ? suffix + " " : std::string(1, c);
  }
  text.pop_back();
  return text;
}

// Tokens stay in one tile: a table is cut by words, as its update is, and never gathered nor summed as a whole.

std::string sums_rule(const OpCall& call) {
  const std::string t = token_dims(call.input(3).extents.rank(), "!"), x = t + " c!";
  return x + ", k c!, " + x + ", " + t + " -> " + t;
}

std::string sums_grad_rule(const OpCall& call) {
  const std::string t = token_dims(call.input(3).extents.rank(), "!"), x = t + " c!";
  return x + ", k c!, " + x + ", " + t + ", " + t + ", " + t + " -> k c!, " + x;
}

std::string loss_sums_rule(const OpCall& call) {
  return token_dims(call.input(0).extents.rank()) + " -> 2";
}
std::string loss_sums_grad_rule(const OpCall& call) {
  const std::string t = token_dims(call.input(0).extents.rank());
  return t + ", 2 -> " + t;
}

/// `products` with every word of every token, and an exponential.
Cost scores_cost(const OpCall& call, double products) {
  Cost cost = product_cost(call, 0);
  const auto words = static_cast<double>(call.input(1).extents[0]);
  const auto tokens = static_cast<double>(call.input(3).elements());
  cost.flops = words * (2 * products * static_cast<double>(call.input(0).elements()) + 20 * tokens);
  return cost;
}
Cost sums_cost(const OpCall& call) { return scores_cost(call, 1); }
Cost sums_grad_cost(const OpCall& call) { return scores_cost(call, 3); }

/// A logarithm or a division an element of s.
Cost loss_cost(const OpCall& call) {
  Cost cost = streaming_cost(call, 0);
  cost.flops = 20 * static_cast<double>(call.input(0).elements());
  return cost;
}

void sums_gradient(GradContext& g) {
  const auto grads = g.emit_all(
      "LmHeadSumsGrad",
      {g.input(0), g.input(1), g.input(2), g.input(3), g.output(0), g.grad_output(0)}, {});
  g.set_grad_input(0, grads[1]);
  g.set_grad_input(1, grads[0]);
}

void loss_sums_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("LmHeadLossSumsGrad", {g.input(0), g.grad_output(0)}));
}

}  // namespace

void register_lm_head_ops(OpRegistry& registry) {
  const OperandSpec x{"x", "f32 or bf16 [.., channels]"};
  const OperandSpec table{"table", "like x: [words, channels]"};
  const OperandSpec rows{"target_rows", "Gather of table at targets, like x"};
  const OperandSpec targets{"targets", "u8, i32 or i64 [..], in [0, words)"};
  const OperandSpec s{"s", "f64 [..]: exp of the loss of each token"};
  registry.add({.name = "LmHeadSums",
                .doc = "exp of each token's cross-entropy with scores x table'.",
                .inputs = {x, table, rows, targets},
                .outputs = {s},
                .rule_for = sums_rule,
                .infer = infer_sums,
                .cost = sums_cost,
                .gradient = sums_gradient,
                .no_gradient_inputs = {2},
                .bf16_inputs = {0, 1, 2},
                .prefers_bf16 = true});
  registry.add({.name = "LmHeadSumsGrad",
                .doc = "Gradients of LmHeadSums by table and x, through target_rows too.",
                .inputs = {x, table, rows, targets, s, {"ds", "like s"}},
                .outputs = {{"dtable", "f32 [words, channels]"}, {"dx", "f32 [.., channels]"}},
                .rule_for = sums_grad_rule,
                .infer = infer_sums_grad,
                .cost = sums_grad_cost,
                .accumulates = true});
  registry.add({.name = "LmHeadLossSums",
                .doc = "Sum of the tokens' losses and their number.",
                .inputs = {s},
                .outputs = {{"sums", "f64 [2]"}},
                .rule_for = loss_sums_rule,
                .infer = infer_loss_sums,
                .cost = loss_cost,
                .gradient = loss_sums_gradient});
  registry.add({.name = "LmHeadLossSumsGrad",
                .doc = "Gradient of LmHeadLossSums.",
                .inputs = {s, {"gsums", "f64 [2]"}},
                .outputs = {{"ds", "like s"}},
                .rule_for = loss_sums_grad_rule,
                .infer = infer_loss_sums_grad,
                .cost = loss_cost,
                .in_place = {{0, 0}}});
}

}  // namespace hpdlf::graph
