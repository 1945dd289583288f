// Cases of the fully connected layers on grouped dimensions.
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

Extents joined(const Extents& a, const Extents& b) {
  Extents all = a;
  for (const auto e : b) all.push_back(e);
  return all;
}

struct Shape {
  std::string name;
  Extents leading, out, in;
  bool bias = true;
};

/// Flat index of (row, column) of a tensor whose second group has `columns` elements.
std::int64_t flat(std::int64_t row, std::int64_t columns, std::int64_t column) {
  return row * columns + column;
}

Reference linear_reference(const Shape& s) {
  const std::int64_t out = s.out.elements(), in = s.in.elements();
  return [out, in](ReferenceCall& call) {
    for (std::int64_t l = 0; l < call.in(0).elements() / in; ++l)
      for (std::int64_t o = 0; o < out; ++o) {
        double& y = call.out(0)[flat(l, out, o)];
        if (call.has_input(2)) y = call.in(2)[o];
        for (std::int64_t i = 0; i < in; ++i)
          y += call.in(0)[flat(l, in, i)] * call.in(1)[flat(o, in, i)];
      }
  };
}

Reference grad_input_reference(const Shape& s) {
  const std::int64_t out = s.out.elements(), in = s.in.elements();
  return [out, in](ReferenceCall& call) {
    for (std::int64_t l = 0; l < call.in(0).elements() / out; ++l)
      for (std::int64_t o = 0; o < out; ++o)
        for (std::int64_t i = 0; i < in; ++i)
          call.out(0)[flat(l, in, i)] += call.in(0)[flat(l, out, o)] * call.in(1)[flat(o, in, i)];
  };
}

Reference grad_weight_reference(const Shape& s) {
  const std::int64_t out = s.out.elements(), in = s.in.elements();
  return [out, in](ReferenceCall& call) {
    for (std::int64_t l = 0; l < call.in(0).elements() / out; ++l)
      for (std::int64_t o = 0; o < out; ++o)
        for (std::int64_t i = 0; i < in; ++i)
          call.out(0)[flat(o, in, i)] += call.in(0)[flat(l, out, o)] * call.in(1)[flat(l, in, i)];
  };
}

void add_cases(std::vector<OpCase>& cases, const Shape& s) {
  const Extents x = joined(s.leading, s.in), w = joined(s.out, s.in), y = joined(s.leading, s.out);
  const Attrs attrs = {{"contracted", std::int64_t{s.in.rank()}}};
  OpCase forward{.name = s.name,
                 .op = "Linear",
                 .attrs = attrs,
                 .inputs = {{.extents = x}, {.extents = w}},
                 .outputs = {{DType::f32, y}},
                 .reference = linear_reference(s),
                 .terms = s.in.elements(),
                 .differentiate = {0, 1}};
  if (s.bias) {
    forward.inputs.push_back({.extents = s.out});
    forward.differentiate.push_back(2);
  }
  cases.push_back(std::move(forward));
  cases.push_back({.name = s.name,
                   .op = "LinearGradInput",
                   .attrs = attrs,
                   .inputs = {{.extents = y}, {.extents = w}},
                   .outputs = {{DType::f32, x}},
                   .reference = grad_input_reference(s),
                   .terms = s.out.elements()});
  cases.push_back({.name = s.name,
                   .op = "LinearGradWeight",
                   .attrs = attrs,
                   .inputs = {{.extents = y}, {.extents = x}},
                   .outputs = {{DType::f32, w}},
                   .reference = grad_weight_reference(s),
                   .terms = s.leading.elements()});
}

std::vector<OpCase> error_cases() {
  return {{.name = "rejects_other_features",
           .op = "Linear",
           .inputs = {{.extents = {2, 4, 5}}, {.extents = {3, 6}}},
           .error = "w is f32[3,6]: its [6] must be [5]"},
          {.name = "rejects_other_bias",
           .op = "Linear",
           .inputs = {{.extents = {2, 4, 5}}, {.extents = {3, 5}}, {.extents = {5}}},
           .error = "b is f32[5]: its [5] must be [3]"},
          {.name = "rejects_too_many_contracted",
           .op = "Linear",
           .attrs = {{"contracted", std::int64_t{2}}},
           .inputs = {{.extents = {4, 5}}, {.extents = {3, 4, 5}}},
           .error = "1 to 4 leading and 1 to 3 output dimensions are left, not 0 and 1"},
          {.name = "rejects_integers",
           .op = "LinearGradInput",
           .inputs = {{.dtype = DType::i32, .extents = {4, 5}}, {.extents = {5, 3}}},
           .error = "dy is i32[4,5]; LinearGradInput takes f32 or bf16"},
          {.name = "rejects_a_bf16_bias",
           .op = "Linear",
           .inputs = {{DType::bf16, {4, 5}}, {DType::bf16, {3, 5}}, {DType::bf16, {3}}},
           .error = "b is bf16[3]; Linear takes f32 or bf16 factors, alike and not empty, and an "
                    "f32 bias"}};
}

}  // namespace

std::vector<OpCase> linear_cases() {
  std::vector<OpCase> cases;
  add_cases(cases, {.name = "2x5x7_to_9", .leading = {2, 5}, .out = {9}, .in = {7}});
  add_cases(cases, {.name = "rows_13x8_to_6", .leading = {13}, .out = {6}, .in = {8}});
  add_cases(
      cases,
      {.name = "no_bias_3x4x6_to_5", .leading = {3, 4}, .out = {5}, .in = {6}, .bias = false});
  add_cases(cases,
            {.name = "to_heads_2x5x8_to_4x3x2", .leading = {2, 5}, .out = {4, 3, 2}, .in = {8}});
  add_cases(cases,
            {.name = "from_heads_2x5x4x3_to_7", .leading = {2, 5}, .out = {7}, .in = {4, 3}});
  add_cases(cases, {.name = "one_2x1x1_to_1", .leading = {2, 1}, .out = {1}, .in = {1}});
  // Large enough for sgemm, rows of w and x a page apart.
  add_cases(cases, {.name = "page_rows_2x40x1024_to_70",
                    .leading = {2, 40},
                    .out = {70},
                    .in = {1024},
                    .bias = false});
  const std::vector<OpCase> in_f32 = cases;
  for (const OpCase& c : in_f32)
    if (c.op == "LinearGradWeight")
      cases.push_back(in_bf16(c, {0, 1}, {}));
    else
      cases.push_back(in_bf16(c, {0, 1}, {0}));
  for (auto& c : error_cases()) cases.push_back(std::move(c));
  return cases;
}

}  // namespace hpdlf::test
