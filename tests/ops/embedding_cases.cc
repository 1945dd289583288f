// Cases of the lookup of rows.
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

void gather_reference(ReferenceCall& call) {
  const RefTensor &table = call.in(0), &indices = call.in(1);
  const std::int64_t columns = table.dim(1);
  for (std::int64_t i = 0; i < indices.elements(); ++i)
    for (std::int64_t c = 0; c < columns; ++c)
      call.out(0)[i * columns + c] = table(static_cast<std::int64_t>(indices[i]), c);
}

void gather_grad_reference(ReferenceCall& call) {
  const RefTensor &indices = call.in(0), &dy = call.in(1);
  const std::int64_t columns = dy.dim(-1);
  for (std::int64_t i = 0; i < indices.elements(); ++i)
    for (std::int64_t c = 0; c < columns; ++c)
      call.out(0)(static_cast<std::int64_t>(indices[i]), c) += dy[i * columns + c];
}

struct Shape {
  std::string name;
  std::int64_t rows, columns;
  Extents indices;
  DType index_type = DType::i32, dtype = DType::f32;
};

void add_cases(std::vector<OpCase>& cases, const Shape& s) {
  Extents y = s.indices;
  y.push_back(s.columns);
  const InputCase indices{s.index_type, s.indices, Draw::labels(s.rows)};
  OpCase forward{.name = s.name,
                 .op = "Gather",
                 .inputs = {{.dtype = s.dtype, .extents = {s.rows, s.columns}}, indices},
                 .outputs = {{s.dtype, y}},
                 .reference = gather_reference,
                 .differentiate = {0}};
  if (s.dtype == DType::f32)
    cases.push_back({.name = s.name,
                     .op = "GatherGrad",
                     .attrs = {{"rows", s.rows}},
                     .inputs = {indices, {.extents = y}},
                     .outputs = {{DType::f32, {s.rows, s.columns}}},
                     .reference = gather_grad_reference,
                     .terms = s.indices.elements()});
  cases.push_back(std::move(forward));
}

}  // namespace

std::vector<OpCase> embedding_cases() {
  std::vector<OpCase> cases;
  add_cases(cases, {.name = "11x7_at_2x9", .rows = 11, .columns = 7, .indices = {2, 9}});
  add_cases(
      cases,
      {.name = "5x3_at_13", .rows = 5, .columns = 3, .indices = {13}, .index_type = DType::u8});
  add_cases(cases, {.name = "1x1_at_2x3x4",
                    .rows = 1,
                    .columns = 1,
                    .indices = {2, 3, 4},
                    .index_type = DType::i64});
  add_cases(cases, {.name = "bf16_6x4_at_3x5",
                    .rows = 6,
                    .columns = 4,
                    .indices = {3, 5},
                    .dtype = DType::bf16});
  cases.push_back({.name = "rejects_an_index_beyond_the_table",
                   .op = "Gather",
                   .inputs = {{.extents = {4, 3}}, {DType::i32, {2}, Draw::constant(4)}},
                   .outputs = {{DType::f32, {2, 3}}},
                   .error = "index 4 of a table of 4 rows"});
  cases.push_back({.name = "rejects_float_indices",
                   .op = "Gather",
                   .inputs = {{.extents = {4, 3}}, {.extents = {2}}},
                   .error = "indices are f32[2]; they must be u8, i32 or i64"});
  return cases;
}

}  // namespace hpdlf::test
