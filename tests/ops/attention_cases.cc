// Cases of attention.
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

enum Part { kQuery, kKey, kValue };

double scale_of(const ReferenceCall& call) {
  const double given = call.attrs.real("scale");
  return given == 0 ? 1 / std::sqrt(static_cast<double>(call.in(0).dim(4))) : given;
}

std::int64_t seen_by(const ReferenceCall& call, std::int64_t query) {
  return call.attrs.integer("causal") != 0 ? query + 1 : call.in(0).dim(1);
}

struct Head {
  std::int64_t n, h;
};

/// exp(scale q[i] k[j]) of one query, by key.
std::vector<double> weights_of(const ReferenceCall& call, Head at, std::int64_t i) {
  const RefTensor& qkv = call.in(0);
  std::vector<double> weights;
  for (std::int64_t j = 0; j < seen_by(call, i); ++j) {
    double score = 0;
    for (std::int64_t e = 0; e < qkv.dim(4); ++e)
      score += qkv(at.n, i, at.h, kQuery, e) * qkv(at.n, j, at.h, kKey, e);
    weights.push_back(std::exp(scale_of(call) * score));
  }
  return weights;
}

template <class Body>
void for_each_query(const RefTensor& qkv, const Body& body) {
  for (std::int64_t n = 0; n < qkv.dim(0); ++n)
    for (std::int64_t h = 0; h < qkv.dim(2); ++h)
      for (std::int64_t i = 0; i < qkv.dim(1); ++i) body(Head{n, h}, i);
}

void attention_reference(ReferenceCall& call) {
  const RefTensor& qkv = call.in(0);
  for_each_query(qkv, [&](Head at, std::int64_t i) {
    const auto weights = weights_of(call, at, i);
    double sum = 0;
    for (const double w : weights) sum += w;
    call.out(1)(at.n, i, at.h) = std::log(sum);
    for (std::size_t j = 0; j < weights.size(); ++j)
      for (std::int64_t e = 0; e < qkv.dim(4); ++e)
        call.out(0)(at.n, i, at.h, e) += weights[j] / sum * qkv(at.n, j, at.h, kValue, e);
  });
}

/// Inputs out and lse are what the forward pass gives.
void fill_results(const Attrs& attrs, std::vector<RefTensor>& inputs) {
  ReferenceCall call{.attrs = attrs, .inputs = {inputs[0]}, .outputs = {}};
  call.outputs = {RefTensor(inputs[1].extents), RefTensor(inputs[2].extents)};
  attention_reference(call);
  inputs[1] = call.outputs[0];
  inputs[2] = call.outputs[1];
}

void attention_grad_reference(ReferenceCall& call) {
  const RefTensor &qkv = call.in(0), &out = call.in(1), &lse = call.in(2), &dout = call.in(3);
  const double scale = scale_of(call);
  for_each_query(qkv, [&](Head at, std::int64_t i) {
    const auto weights = weights_of(call, at, i);
    for (std::int64_t j = 0; j < static_cast<std::int64_t>(weights.size()); ++j) {
      const double p = weights[static_cast<std::size_t>(j)] / std::exp(lse(at.n, i, at.h));
      double ds = call.has_input(4) ? call.in(4)(at.n, i, at.h) : 0;
      for (std::int64_t e = 0; e < qkv.dim(4); ++e)
        ds += dout(at.n, i, at.h, e) * (qkv(at.n, j, at.h, kValue, e) - out(at.n, i, at.h, e));
      for (std::int64_t e = 0; e < qkv.dim(4); ++e) {
        RefTensor& d = call.out(0);
        d(at.n, i, at.h, kQuery, e) += scale * p * ds * qkv(at.n, j, at.h, kKey, e);
        d(at.n, j, at.h, kKey, e) += scale * p * ds * qkv(at.n, i, at.h, kQuery, e);
        d(at.n, j, at.h, kValue, e) += p * dout(at.n, i, at.h, e);
      }
    }
  });
}

struct Shape {
  std::string name;
  std::int64_t n, t, h, e;
  bool causal = true;
  double scale = 0;
};

void add_cases(std::vector<OpCase>& cases, const Shape& s) {
  const Extents qkv{s.n, s.t, s.h, 3, s.e}, out{s.n, s.t, s.h, s.e}, lse{s.n, s.t, s.h};
  const Attrs attrs = {{"causal", std::int64_t{s.causal}}, {"scale", s.scale}};
  cases.push_back({.name = s.name,
                   .op = "SelfAttention",
                   .attrs = attrs,
                   .inputs = {{.extents = qkv}},
                   .outputs = {{DType::f32, out}, {DType::f32, lse}},
                   .reference = attention_reference,
                   .terms = s.e,
                   .slack = 4,
                   .differentiate = {0}});
  cases.push_back({.name = s.name,
                   .op = "SelfAttentionGrad",
                   .attrs = attrs,
                   .inputs = {{.extents = qkv},
                              {.extents = out},
                              {.extents = lse},
                              {.extents = out},
                              {.extents = lse}},
                   .outputs = {{DType::f32, qkv}},
                   .reference = attention_grad_reference,
                   .terms = s.t,
                   .slack = 4,
                   .derive = [attrs](std::vector<RefTensor>& in) { fill_results(attrs, in); }});
}

}  // namespace

std::vector<OpCase> attention_cases() {
  std::vector<OpCase> cases;
  add_cases(cases, {.name = "2x9x3x5", .n = 2, .t = 9, .h = 3, .e = 5});
  add_cases(cases, {.name = "all_keys_2x7x2x4", .n = 2, .t = 7, .h = 2, .e = 4, .causal = false});
  add_cases(cases, {.name = "scaled_1x5x1x3", .n = 1, .t = 5, .h = 1, .e = 3, .scale = 2.5});
  add_cases(cases, {.name = "one_token", .n = 1, .t = 1, .h = 2, .e = 3});
  // More than one block of queries and of keys, the last ones cut off.
  add_cases(cases, {.name = "blocks_1x530x1x2", .n = 1, .t = 530, .h = 1, .e = 2});
  // Enough for tiles of 32 tokens and features, the last ones cut off; several chunks of keys.
  add_cases(cases, {.name = "tiles_2x70x2x40", .n = 2, .t = 70, .h = 2, .e = 40});
  add_cases(cases, {.name = "tiles_1x301x1x24", .n = 1, .t = 301, .h = 1, .e = 24, .scale = 0.7});
  add_cases(
      cases,
      {.name = "tiles_all_keys_1x270x1x70", .n = 1, .t = 270, .h = 1, .e = 70, .causal = false});
  const std::vector<OpCase> in_f32 = cases;
  for (const OpCase& c : in_f32)
    if (c.op == "SelfAttention")
      cases.push_back(in_bf16(c, {0}, {0}));
    else
      cases.push_back(in_bf16(c, {0, 1, 3}, {0}));
  cases.push_back(
      {.name = "rejects_split_operands",
       .op = "SelfAttention",
       .inputs = {{.extents = {2, 9, 3, 5}}},
       .error = "qkv is f32[2,9,3,5]; it must be f32 or bf16 [samples, tokens, heads, 3"});
  OpCase other_out = cases[1];
  other_out.name = "rejects_other_out";
  other_out.inputs[1].extents = {2, 9, 3, 6};
  other_out.error = "out is f32[2,9,3,6]; for qkv f32[2,9,3,3,5] it must be f32[2,9,3,5]";
  cases.push_back(other_out);
  return cases;
}

}  // namespace hpdlf::test
