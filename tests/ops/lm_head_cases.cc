// Cases of the language model's head.
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

double score(const RefTensor& x, std::int64_t token, const RefTensor& rows, std::int64_t row) {
  const std::int64_t c = x.dim(-1);
  double sum = 0;
  for (std::int64_t i = 0; i < c; ++i) sum += x[token * c + i] * rows[row * c + i];
  return sum;
}

void sums_reference(ReferenceCall& call) {
  const RefTensor &x = call.in(0), &table = call.in(1), &rows = call.in(2), &targets = call.in(3);
  RefTensor &s = call.out(0), &e = call.out(1);
  for (std::int64_t t = 0; t < s.elements(); ++t) {
    s[t] = 1;
    for (std::int64_t k = 0; k < table.dim(0); ++k) {
      if (k == static_cast<std::int64_t>(targets[t])) continue;
      e[t * table.dim(0) + k] = std::exp(score(x, t, table, k) - score(x, t, rows, t));
      s[t] += e[t * table.dim(0) + k];
    }
  }
}

void sums_grad_reference(ReferenceCall& call) {
  const RefTensor &x = call.in(0), &table = call.in(1), &targets = call.in(2), &e = call.in(5);
  const std::int64_t c = x.dim(-1);
  for (std::int64_t t = 0; t < targets.elements(); ++t)
    for (std::int64_t k = 0; k < table.dim(0); ++k) {
      const double s = call.in(3)[t], ds = call.in(4)[t];
      const bool is_target = k == static_cast<std::int64_t>(targets[t]);
      const double d = is_target ? -ds * (s - 1) : ds * e[t * table.dim(0) + k];
      for (std::int64_t i = 0; i < c; ++i) {
        call.out(0)(k, i) += d * x[t * c + i];
        call.out(1)[t * c + i] += d * table(k, i);
      }
    }
}

/// Rows of the table at the targets.
RefTensor target_rows(const RefTensor& table, const RefTensor& targets, const Extents& x) {
  RefTensor rows(x);
  const std::int64_t c = table.dim(1);
  for (std::int64_t t = 0; t < targets.elements(); ++t)
    for (std::int64_t i = 0; i < c; ++i)
      rows[t * c + i] = table(static_cast<std::int64_t>(targets[t]), i);
  return rows;
}

void fill_target_rows(std::vector<RefTensor>& in) {
  in[2] = target_rows(in[1], in[3], in[0].extents);
}

/// s and e are what LmHeadSums makes of the others.
void fill_results(std::vector<RefTensor>& in) {
  ReferenceCall call{.attrs = {},
                     .inputs = {in[0], in[1], target_rows(in[1], in[2], in[0].extents), in[2]},
                     .outputs = {RefTensor(in[3].extents), RefTensor(in[5].extents)}};
  sums_reference(call);
  in[3] = call.outputs[0];
  in[5] = call.outputs[1];
}

struct Shape {
  std::string name;
  Extents tokens;
  std::int64_t words, channels;
  DType target_type = DType::i32;
};

void add_cases(std::vector<OpCase>& cases, const Shape& s) {
  Extents x = s.tokens;
  x.push_back(s.channels);
  const Extents table{s.words, s.channels};
  Extents scores = s.tokens;
  scores.push_back(s.words);
  const InputCase targets{s.target_type, s.tokens, Draw::labels(s.words)};
  cases.push_back({.name = s.name,
                   .op = "LmHeadSums",
                   .inputs = {{.extents = x}, {.extents = table}, {.extents = x}, targets},
                   .outputs = {{DType::f64, s.tokens}, {DType::f32, scores}},
                   .reference = sums_reference,
                   .terms = s.channels,
                   .slack = 4,
                   .differentiate = {0, 1},
                   .derive = fill_target_rows});
  cases.push_back({.name = s.name,
                   .op = "LmHeadSumsGrad",
                   .inputs = {{.extents = x},
                              {.extents = table},
                              targets,
                              {DType::f64, s.tokens},
                              {DType::f64, s.tokens},
                              {.extents = scores}},
                   .outputs = {{DType::f32, table}, {DType::f32, x}},
                   .reference = sums_grad_reference,
                   .terms = s.words + s.tokens.elements(),
                   .slack = 4,
                   .derive = fill_results});
}

constexpr std::int64_t kTokens = 50;

void loss_reference(ReferenceCall& call) {
  for (const double s : call.in(0).data) call.out(0)[0] += std::log(s) / kTokens;
}

void loss_grad_reference(ReferenceCall& call) {
  for (std::int64_t i = 0; i < call.in(0).elements(); ++i)
    call.out(0)[i] = call.in(1)[0] / call.in(0)[i] / kTokens;
}

/// A score 100 above the target's counts as 60; the gradient is that of a sure and wrong prediction.
OpCase saturated_case() {
  return {.name = "far_above_the_target",
          .op = "LmHeadSums",
          .inputs = {{.extents = {1, 1}, .draw = Draw::constant(100)},
                     {.extents = {2, 1}, .draw = Draw::constant(1)},
                     {.extents = {1, 1}, .draw = Draw::constant(0)},
                     {DType::i32, {1}, Draw::constant(0)}},
          .outputs = {{DType::f64, {1}}, {DType::f32, {1, 2}}},
          .reference =
              [](ReferenceCall& call) {
                call.out(1)[1] = std::exp(60.0);
                call.out(0)[0] = 1 + call.out(1)[1];
              },
          .slack = 4};
}

}  // namespace

std::vector<OpCase> lm_head_cases() {
  std::vector<OpCase> cases;
  add_cases(cases, {.name = "2x5_of_11x7", .tokens = {2, 5}, .words = 11, .channels = 7});
  add_cases(cases, {.name = "one_word", .tokens = {3}, .words = 1, .channels = 4});
  // More than one block of words and of tokens, the last ones cut off.
  add_cases(cases, {.name = "blocks_2x130_of_515x2",
                    .tokens = {2, 130},
                    .words = 515,
                    .channels = 2,
                    .target_type = DType::i64});
  add_cases(cases, {.name = "blocks_520_of_2051x2", .tokens = {520}, .words = 2051, .channels = 2});
  const std::vector<OpCase> in_f32 = cases;
  for (const OpCase& c : in_f32) {
    const bool is_forward = c.op == "LmHeadSums";
    cases.push_back(is_forward ? in_bf16(c, {0, 1, 2}, {1}) : in_bf16(c, {0, 1, 5}, {}));
    cases.back().slack = c.slack;                     // products of ds and x are rounded to bf16
    if (is_forward) cases.back().differentiate = {};  // rows differ by bf16 from what s is of
  }
  cases.push_back(saturated_case());
  cases.push_back({.name = "3x7",
                   .op = "LmHeadLoss",
                   .attrs = {{"tokens", kTokens}},
                   .inputs = {{DType::f64, {3, 7}, Draw::uniform(1, 9)}},
                   .outputs = {{DType::f32, {}}},
                   .reference = loss_reference,
                   .terms = 21,
                   .differentiate = {0}});
  cases.push_back({.name = "3x7",
                   .op = "LmHeadLossGrad",
                   .attrs = {{"tokens", kTokens}},
                   .inputs = {{DType::f64, {3, 7}, Draw::uniform(1, 9)}, {DType::f32, {}}},
                   .outputs = {{DType::f64, {3, 7}}},
                   .reference = loss_grad_reference});
  cases.push_back({.name = "rejects_other_table",
                   .op = "LmHeadSums",
                   .inputs = {{.extents = {2, 5, 7}},
                              {.extents = {11, 6}},
                              {.extents = {2, 5, 7}},
                              {DType::i32, {2, 5}}},
                   .error = "table is f32[11,6]; for x f32[2,5,7] it must be f32 [words, 7]"});
  cases.push_back({.name = "rejects_no_tokens",
                   .op = "LmHeadLoss",
                   .attrs = {{"tokens", std::int64_t{0}}},
                   .inputs = {{DType::f64, {3, 7}}},
                   .error = "tokens is 0; it must be positive"});
  return cases;
}

}  // namespace hpdlf::test
