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
  const RefTensor &x = call.in(0), &table = call.in(1), &rows = call.in(2);
  for (std::int64_t t = 0; t < call.out(0).elements(); ++t)
    for (std::int64_t k = 0; k < table.dim(0); ++k)
      call.out(0)[t] += std::exp(score(x, t, table, k) - score(x, t, rows, t));
}

void sums_grad_reference(ReferenceCall& call) {
  const RefTensor &x = call.in(0), &table = call.in(1), &rows = call.in(2), &targets = call.in(3);
  const std::int64_t c = x.dim(-1);
  for (std::int64_t t = 0; t < targets.elements(); ++t)
    for (std::int64_t k = 0; k < table.dim(0); ++k) {
      const double s = call.in(4)[t], ds = call.in(5)[t];
      double d = ds * std::exp(score(x, t, table, k) - score(x, t, rows, t));
      if (k == static_cast<std::int64_t>(targets[t])) d -= ds * s;
      for (std::int64_t i = 0; i < c; ++i) {
        call.out(0)(k, i) += d * x[t * c + i];
        call.out(1)[t * c + i] += d * table(k, i);
      }
    }
}

/// target_rows are rows of the table, s their sums.
void fill_dependent(std::vector<RefTensor>& in) {
  const RefTensor &table = in[1], &targets = in[3];
  const std::int64_t c = table.dim(1);
  for (std::int64_t t = 0; t < targets.elements(); ++t)
    for (std::int64_t i = 0; i < c; ++i)
      in[2][t * c + i] = table(static_cast<std::int64_t>(targets[t]), i);
  if (in.size() < 5) return;
  ReferenceCall call{.attrs = {}, .inputs = {in[0], in[1], in[2], in[3]}, .outputs = {}};
  call.outputs = {RefTensor(in[4].extents)};
  sums_reference(call);
  in[4] = call.outputs[0];
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
  const InputCase targets{s.target_type, s.tokens, Draw::labels(s.words)};
  cases.push_back({.name = s.name,
                   .op = "LmHeadSums",
                   .inputs = {{.extents = x}, {.extents = table}, {.extents = x}, targets},
                   .outputs = {{DType::f64, s.tokens}},
                   .reference = sums_reference,
                   .terms = s.channels,
                   .slack = 4,
                   .differentiate = {0, 1},
                   .derive = fill_dependent});
  cases.push_back({.name = s.name,
                   .op = "LmHeadSumsGrad",
                   .inputs = {{.extents = x},
                              {.extents = table},
                              {.extents = x},
                              targets,
                              {DType::f64, s.tokens},
                              {DType::f64, s.tokens}},
                   .outputs = {{DType::f32, table}, {DType::f32, x}},
                   .reference = sums_grad_reference,
                   .terms = s.words + s.tokens.elements(),
                   .slack = 4,
                   .derive = fill_dependent});
}

void loss_sums(ReferenceCall& call) {
  for (const double s : call.in(0).data) call.out(0)[0] += std::log(s);
  call.out(0)[1] = static_cast<double>(call.in(0).elements());
}

void loss_sums_grad(ReferenceCall& call) {
  for (std::int64_t i = 0; i < call.in(0).elements(); ++i)
    call.out(0)[i] = call.in(1)[0] / call.in(0)[i];
}

/// A score 100 above the target's counts as 80; the gradient is that of a sure and wrong prediction.
OpCase saturated_case() {
  return {.name = "far_above_the_target",
          .op = "LmHeadSums",
          .inputs = {{.extents = {1, 1}, .draw = Draw::constant(100)},
                     {.extents = {1, 1}, .draw = Draw::constant(1)},
                     {.extents = {1, 1}, .draw = Draw::constant(0)},
                     {DType::i32, {1}, Draw::constant(0)}},
          .outputs = {{DType::f64, {1}}},
          .reference = [](ReferenceCall& call) { call.out(0)[0] = std::exp(80.0); },
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
  const std::vector<OpCase> in_f32 = cases;
  for (const OpCase& c : in_f32) {
    cases.push_back(in_bf16(c, {0, 1, 2}, {}));
    cases.back().slack = c.slack;  // gradients by scores are multiplied in bf16
    if (c.op == "LmHeadSums")
      cases.back().differentiate = {};  // rows differ by bf16 from what s is of
  }
  cases.push_back(saturated_case());
  cases.push_back({.name = "3x7",
                   .op = "LmHeadLossSums",
                   .inputs = {{DType::f64, {3, 7}, Draw::uniform(1, 9)}},
                   .outputs = {{DType::f64, {2}}},
                   .reference = loss_sums,
                   .terms = 21,
                   .differentiate = {0}});
  cases.push_back({.name = "3x7",
                   .op = "LmHeadLossSumsGrad",
                   .inputs = {{DType::f64, {3, 7}, Draw::uniform(1, 9)}, {DType::f64, {2}}},
                   .outputs = {{DType::f64, {3, 7}}},
                   .reference = loss_sums_grad});
  cases.push_back({.name = "rejects_other_table",
                   .op = "LmHeadSums",
                   .inputs = {{.extents = {2, 5, 7}},
                              {.extents = {11, 6}},
                              {.extents = {2, 5, 7}},
                              {DType::i32, {2, 5}}},
                   .error = "table is f32[11,6]; for x f32[2,5,7] it must be f32 [words, 7]"});
  return cases;
}

}  // namespace hpdlf::test
