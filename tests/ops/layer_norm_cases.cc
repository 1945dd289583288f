// Cases of layer normalisation.
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

struct Row {
  std::int64_t start, length;
  double mean = 0, inverse_std = 0;

  Row(const RefTensor& x, std::int64_t row, double epsilon)
      : start(row * x.dim(-1)), length(x.dim(-1)) {
    for (std::int64_t i = 0; i < length; ++i) mean += x[start + i] / static_cast<double>(length);
    double variance = 0;
    for (std::int64_t i = 0; i < length; ++i)
      variance += std::pow(x[start + i] - mean, 2) / static_cast<double>(length);
    inverse_std = 1 / std::sqrt(variance + epsilon);
  }
  [[nodiscard]] double xhat(const RefTensor& x, std::int64_t i) const {
    return (x[start + i] - mean) * inverse_std;
  }
};

void layer_norm_reference(ReferenceCall& call) {
  const RefTensor& x = call.in(0);
  for (std::int64_t r = 0; r < x.elements() / x.dim(-1); ++r) {
    const Row row(x, r, call.attrs.real("epsilon"));
    for (std::int64_t i = 0; i < row.length; ++i)
      call.out(0)[row.start + i] =
          row.xhat(x, i) * call.in(1)[i] + (call.has_input(2) ? call.in(2)[i] : 0);
  }
}

void layer_norm_grad_reference(ReferenceCall& call) {
  const RefTensor &x = call.in(0), &gamma = call.in(1), &dy = call.in(2);
  for (std::int64_t r = 0; r < x.elements() / x.dim(-1); ++r) {
    const Row row(x, r, call.attrs.real("epsilon"));
    double mean = 0, slope = 0;
    for (std::int64_t i = 0; i < row.length; ++i) {
      const double g = dy[row.start + i] * gamma[i] / static_cast<double>(row.length);
      mean += g;
      slope += g * row.xhat(x, i);
      call.out(1)[i] += dy[row.start + i] * row.xhat(x, i);
      call.out(2)[i] += dy[row.start + i];
    }
    for (std::int64_t i = 0; i < row.length; ++i)
      call.out(0)[row.start + i] =
          row.inverse_std * (dy[row.start + i] * gamma[i] - mean - row.xhat(x, i) * slope);
  }
}

struct Shape {
  std::string name;
  Extents x;
  DType dtype = DType::f32;
  Draw draw = {};
  double slack = 1;
};

void add_cases(std::vector<OpCase>& cases, const Shape& s) {
  const Extents row{s.x.back()};
  const InputCase x{s.dtype, s.x, s.draw}, gamma{.extents = row, .draw = Draw::positive()};
  cases.push_back(
      {.name = s.name,
       .op = "LayerNormalization",
       .inputs = {x, gamma, {.extents = row}},
       .outputs = {{s.dtype, s.x}},
       .reference = layer_norm_reference,
       .terms = s.x.back(),
       .slack = s.slack,
       .differentiate = s.dtype == DType::f32 ? std::vector<int>{0, 1, 2} : std::vector<int>{}});
  cases.push_back({.name = s.name,
                   .op = "LayerNormalizationGrad",
                   .inputs = {x, gamma, {.dtype = s.dtype, .extents = s.x}},
                   .outputs = {{s.dtype, s.x}, {DType::f32, row}, {DType::f32, row}},
                   .reference = layer_norm_grad_reference,
                   .terms = std::max(s.x.back(), s.x.elements() / s.x.back()),
                   .slack = s.slack});
}

}  // namespace

std::vector<OpCase> layer_norm_cases() {
  std::vector<OpCase> cases;
  add_cases(cases, {.name = "2x5x37", .x = {2, 5, 37}});
  add_cases(cases, {.name = "rows_67x16", .x = {67, 16}});
  add_cases(cases, {.name = "bf16_3x4x21", .x = {3, 4, 21}, .dtype = DType::bf16});
  // A deviation of 0.3 about 1000: the input's own rounding is 1e-4 of it.
  add_cases(cases, {.name = "far_from_0_3x7x40",
                    .x = {3, 7, 40},
                    .draw = Draw::uniform(999.5, 1000.5),
                    .slack = 4});
  cases.push_back({.name = "no_beta_4x9",
                   .op = "LayerNormalization",
                   .attrs = {{"epsilon", 0.1}},
                   .inputs = {{.extents = {4, 9}}, {.extents = {9}}},
                   .outputs = {{DType::f32, {4, 9}}},
                   .reference = layer_norm_reference,
                   .terms = 9,
                   .differentiate = {0, 1}});
  cases.push_back({.name = "rejects_other_gamma",
                   .op = "LayerNormalization",
                   .inputs = {{.extents = {4, 9}}, {.extents = {4}}},
                   .error = "gamma is f32[4]; for x f32[4,9] it must be f32[9]"});
  cases.push_back({.name = "rejects_epsilon_0",
                   .op = "LayerNormalization",
                   .attrs = {{"epsilon", 0.0}},
                   .inputs = {{.extents = {4, 9}}, {.extents = {9}}},
                   .error = "epsilon=0 must be positive"});
  return cases;
}

}  // namespace hpdlf::test
