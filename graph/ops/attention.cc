// Scaled dot-product attention of a sequence to itself, fused: the scores of all pairs of tokens are never stored.
//   SelfAttention      p[i, j] = exp(scale q[i] k[j] - lse[i]), out[i] = sum_j p[i, j] v[j], lse[i] = log sum_j exp(scale q[i] k[j]);
//                      causal: over j <= i only
//   SelfAttentionGrad  recomputes p; ds[i, j] = p[i, j] (dout[i] v[j] - dout[i] out[i] + dlse[i]),
//                      dq[i] = scale sum_j ds[i, j] k[j], dk[j] = scale sum_i ds[i, j] q[i], dv[j] = sum_i p[i, j] dout[i]
// Queries, keys and values of a head lie side by side in one tensor, as one Linear writes them: no split, no transposition.
// Source: Vaswani et al., Attention is all you need, 2017, sec. 3.2; Dao et al., FlashAttention, 2022, alg. 1 and 4.
// Kernels: codelets/cpu/attention.cc, codelets/cpu/split_attention.cc.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

constexpr int kHead = 2, kPart = 3, kFeature = 4;  // dimensions of qkv

TensorType out_type(const TensorType& qkv) {
  const Extents& e = qkv.extents;
  return {qkv.dtype, {e[0], e[1], e[kHead], e[kFeature]}};
}
TensorType lse_type(const TensorType& qkv) {
  return {DType::f32, {qkv.extents[0], qkv.extents[1], qkv.extents[kHead]}};
}

void check_qkv(const OpCall& call) {
  const TensorType& qkv = call.input(0);
  HPDLF_CHECK((qkv.dtype == DType::f32 || qkv.dtype == DType::bf16) && qkv.extents.rank() == 5 &&
                  qkv.extents[kPart] == 3 && qkv.elements() > 0,
              "qkv is {}; it must be f32 or bf16 [samples, tokens, heads, 3, features], not empty",
              to_string(qkv));
  HPDLF_CHECK(call.attrs->real("scale") >= 0, "scale={} must not be negative",
              call.attrs->real("scale"));
}

void infer_attention(OpCall& call) {
  check_qkv(call);
  call.outputs = {out_type(call.input(0)), lse_type(call.input(0))};
}

void infer_attention_grad(OpCall& call) {  // qkv, out, lse, dout, dlse
  check_qkv(call);
  const TensorType out = out_type(call.input(0)), lse = lse_type(call.input(0));
  for (std::size_t i = 1; i < call.inputs.size(); ++i) {
    const TensorType& expected = i == 1 || i == 3 ? out : lse;
    HPDLF_CHECK(call.inputs[i] == expected, "{} is {}; for qkv {} it must be {}",
                call.spec->inputs[i].name, to_string(call.inputs[i]), to_string(call.input(0)),
                to_string(expected));
  }
  call.outputs = {call.input(0)};
}

/// `products` of two matrices over pairs of tokens, and `per_score` operations a score.
Cost attention_cost(const OpCall& call, double products, double per_score) {
  const Extents& e = call.input(0).extents;
  const double share = call.attrs->integer("causal") != 0 ? 0.5 : 1;
  const double scores =
      share * static_cast<double>(e[0] * e[kHead] * e[1]) * (static_cast<double>(e[1]) + 1);
  Cost cost = product_cost(call, 0);
  cost.flops = scores * (2 * products * static_cast<double>(e[kFeature]) + per_score);
  return cost;
}
Cost forward_cost(const OpCall& call) { return attention_cost(call, 2, 20); }
Cost backward_cost(const OpCall& call) { return attention_cost(call, 5, 24); }

void attention_gradient(GradContext& g) {
  HPDLF_CHECK(g.grad_output(0) != kNone,
              "attention \"{}\" has a gradient by lse only; use its result too", g.node().name);
  std::vector<ValueId> inputs = {g.input(0), g.output(0), g.output(1), g.grad_output(0)};
  if (g.grad_output(1) != kNone) inputs.push_back(g.grad_output(1));
  g.set_grad_input(0, g.emit("SelfAttentionGrad", std::move(inputs), g.attrs()));
}

}  // namespace

void register_attention_ops(OpRegistry& registry) {
  const std::vector<AttrSpec> attrs = {
      {"causal", std::int64_t{1}, "1: a token sees itself and earlier ones only"},
      {"scale", 0.0, "of the scores; 0: 1 / sqrt(features)"}};
  const OperandSpec qkv{"qkv", "f32 or bf16 [samples, tokens, heads, 3, features]"};
  const OperandSpec out{"out", "like qkv: [samples, tokens, heads, features]"};
  const OperandSpec lse{"lse", "f32 [samples, tokens, heads]: log of the sum over keys"};
  registry.add({.name = "SelfAttention",
                .doc = "Scaled dot-product attention of a sequence to itself, a head at a time.",
                .inputs = {qkv},
                .outputs = {out, lse},
                .attrs = attrs,
                .rule = "n t! k 3 e! -> n t! k e!, n t! k",
                .infer = infer_attention,
                .cost = forward_cost,
                .gradient = attention_gradient,
                .bf16_inputs = {0},
                .prefers_bf16 = true});
  registry.add({.name = "SelfAttentionGrad",
                .doc = "Gradient of SelfAttention; recomputes the scores.",
                .inputs = {qkv,
                           out,
                           lse,
                           {"dout", "like out"},
                           {"dlse", "like lse", OperandSpec::Arity::optional}},
                .outputs = {{"dqkv", "like qkv"}},
                .attrs = attrs,
                .rule = "n t! k 3 e!, n t! k e!, n t! k, n t! k e!, n t! k -> n t! k 3 e!",
                .infer = infer_attention_grad,
                .cost = backward_cost});
}

}  // namespace hpdlf::graph
