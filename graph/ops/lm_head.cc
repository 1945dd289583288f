// The head of a language model with its cross-entropy. e is as large as the scores, so a net calls LmHeadSums for a few tokens at a time.
//   LmHeadSums       e[k] = exp(x table[k] - x target_row), but 0 where k is the target, target_row = table[target];
//                    s = 1 + sum_k e[k]:   exp of a token's loss
//   LmHeadSumsGrad   p[k] = e[k] ds, but - (s - 1) ds where k is the target;
//                    dtable[k] = sum over tokens of p[k] x, dx = sum_k p[k] table[k]: the whole derivative, through target_row too
//   LmHeadLoss       loss = sum over these tokens of log s / tokens: one of the terms of the mean over all `tokens`
//   LmHeadLossGrad   ds = dloss / (tokens s)
// Measured from the target's score, the terms of s are sums over words like any other: the vocabulary may be cut, as the table is.
// The usual way, from the largest score, would need two passes over the parts. The kernels count scores more than 60 above the target's as 60:
// such a token has a probability below 1e-26, and its loss and gradient stay finite. The target has no term in e, so that a gradient is as
// exact where the loss is almost 0. A loss is divided by a number that is known beforehand, so the gradient of some tokens may be
// computed, and their e dropped, before other tokens' loss is known.
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

void check_scores(const OpCall& call, int targets_at) {
  const TensorType &x = call.input(0), &table = call.input(1), &targets = call.input(targets_at);
  HPDLF_CHECK((x.dtype == DType::f32 || x.dtype == DType::bf16) && x.extents.rank() >= 2 &&
                  x.extents.rank() <= 5 && x.elements() > 0,
              "x is {}; it must be f32 or bf16 [.., channels] of 2 to 5 dimensions, not empty",
              to_string(x));
  HPDLF_CHECK(table.dtype == x.dtype && table.extents.rank() == 2 && table.extents[0] > 0 &&
                  table.extents[1] == x.extents.back(),
              "table is {}; for x {} it must be {} [words, {}]", to_string(table), to_string(x),
              name_of(x.dtype), x.extents.back());
  HPDLF_CHECK(
      (targets.dtype == DType::u8 || targets.dtype == DType::i32 || targets.dtype == DType::i64) &&
          targets.extents == leading(x),
      "targets are {}; for x {} they must be integers of extents {}", to_string(targets),
      to_string(x), to_string(leading(x)));
}

/// Of the tokens by the words.
TensorType scores_type(const OpCall& call) {
  Extents e = leading(call.input(0));
  e.push_back(call.input(1).extents[0]);
  return {call.input(0).dtype, e};
}

void infer_sums(OpCall& call) {  // x, table, target_rows, targets
  check_scores(call, 3);
  check_is(call, 2, call.input(0));
  call.outputs = {{DType::f64, leading(call.input(0))}, scores_type(call)};
}

void infer_sums_grad(OpCall& call) {  // x, table, targets, s, ds, e
  check_scores(call, 2);
  for (const std::size_t i : {3U, 4U}) check_is(call, i, {DType::f64, leading(call.input(0))});
  check_is(call, 5, scores_type(call));
  call.outputs = {{DType::f32, call.input(1).extents}, {DType::f32, call.input(0).extents}};
}

/// s and the number of tokens.
void check_loss(const OpCall& call) {
  const TensorType& s = call.input(0);
  HPDLF_CHECK(
      s.dtype == DType::f64 && s.extents.rank() >= 1 && s.extents.rank() <= 4 && s.elements() > 0,
      "s is {}; it must be f64 of 1 to 4 dimensions, not empty", to_string(s));
  HPDLF_CHECK(call.attrs->integer("tokens") > 0, "tokens is {}; it must be positive",
              call.attrs->integer("tokens"));
}

void infer_loss(OpCall& call) {
  check_loss(call);
  call.outputs = {{DType::f32, {}}};
}

void infer_loss_grad(OpCall& call) {
  check_loss(call);
  HPDLF_CHECK(call.input(1) == (TensorType{DType::f32, {}}), "dloss is {}; it must be f32[]",
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
  return x + ", k c!, " + x + ", " + t + " -> " + t + ", " + t + " k";
}

std::string sums_grad_rule(const OpCall& call) {
  const std::string t = token_dims(call.input(2).extents.rank(), "!"), x = t + " c!";
  return x + ", k c!, " + t + ", " + t + ", " + t + ", " + t + " k -> k c!, " + x;
}

std::string loss_rule(const OpCall& call) {
  return token_dims(call.input(0).extents.rank(), "!") + " -> ()";
}
std::string loss_grad_rule(const OpCall& call) {
  const std::string t = token_dims(call.input(0).extents.rank());
  return t + ", () -> " + t;
}

/// One product of every word with every token, and an exponential.
Cost sums_cost(const OpCall& call) {
  Cost cost = product_cost(call, 0);
  const auto words = static_cast<double>(call.input(1).extents[0]);
  const auto tokens = static_cast<double>(call.input(3).elements());
  cost.flops = words * (2 * static_cast<double>(call.input(0).elements()) + 20 * tokens);
  return cost;
}
/// Two products.
Cost sums_grad_cost(const OpCall& call) {
  Cost cost = product_cost(call, 0);
  cost.flops = 4 * static_cast<double>(call.input(1).extents[0]) *
               static_cast<double>(call.input(0).elements());
  return cost;
}

/// A logarithm or a division an element of s.
Cost loss_cost(const OpCall& call) {
  Cost cost = streaming_cost(call, 0);
  cost.flops = 20 * static_cast<double>(call.input(0).elements());
  return cost;
}

void sums_gradient(GradContext& g) {
  const auto grads = g.emit_all(
      "LmHeadSumsGrad",
      {g.input(0), g.input(1), g.input(3), g.output(0), g.grad_output(0), g.output(1)}, {});
  g.set_grad_input(0, grads[1]);
  g.set_grad_input(1, grads[0]);
}

void loss_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("LmHeadLossGrad", {g.input(0), g.grad_output(0)}, g.attrs()));
}

}  // namespace

void register_lm_head_ops(OpRegistry& registry) {
  const OperandSpec x{"x", "f32 or bf16 [.., channels]"};
  const OperandSpec table{"table", "like x: [words, channels]"};
  const OperandSpec rows{"target_rows", "Gather of table at targets, like x"};
  const OperandSpec targets{"targets", "u8, i32 or i64 [..], in [0, words)"};
  const OperandSpec s{"s", "f64 [..]: exp of the loss of each token"};
  const OperandSpec e{"e",
                      "like x: [.., words], exp of the scores above the target's; 0 at the target"};
  const AttrSpec tokens{"tokens", std::int64_t{1}, "number of tokens in the mean, not only these",
                        true};
  registry.add({.name = "LmHeadSums",
                .doc = "exp of each token's cross-entropy with scores x table'.",
                .inputs = {x, table, rows, targets},
                .outputs = {s, e},
                .rule_for = sums_rule,
                .infer = infer_sums,
                .cost = sums_cost,
                .gradient = sums_gradient,
                .no_gradient_inputs = {2},
                .no_gradient_outputs = {1},
                .bf16_inputs = {0, 1, 2},
                .prefers_bf16 = true});
  registry.add({.name = "LmHeadSumsGrad",
                .doc = "Gradients of LmHeadSums by table and x, through target_rows too.",
                .inputs = {x, table, targets, s, {"ds", "like s"}, e},
                .outputs = {{"dtable", "f32 [words, channels]"}, {"dx", "f32 [.., channels]"}},
                .rule_for = sums_grad_rule,
                .infer = infer_sums_grad,
                .cost = sums_grad_cost,
                .accumulates = true});
  registry.add({.name = "LmHeadLoss",
                .doc = "Share of the mean loss that these tokens have.",
                .inputs = {s},
                .outputs = {{"loss", "f32 scalar"}},
                .attrs = {tokens},
                .rule_for = loss_rule,
                .infer = infer_loss,
                .cost = loss_cost,
                .gradient = loss_gradient});
  registry.add({.name = "LmHeadLossGrad",
                .doc = "Gradient of LmHeadLoss.",
                .inputs = {s, {"dloss", "f32 scalar"}},
                .outputs = {{"ds", "like s"}},
                .attrs = {tokens},
                .rule_for = loss_grad_rule,
                .infer = infer_loss_grad,
                .cost = loss_cost,
                .in_place = {{0, 0}}});
}

}  // namespace hpdlf::graph
