#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

/// op(m)[row, column] of the matrix that starts at element `start` of m.
double element(const RefTensor& m, std::int64_t start, bool transposed, std::int64_t row,
               std::int64_t column) {
  return m[start + (transposed ? column * m.dim(-1) + row : row * m.dim(-1) + column)];
}

void matmul_reference(ReferenceCall& call) {
  const RefTensor& a = call.in(0);
  const RefTensor& b = call.in(1);
  RefTensor& y = call.out(0);
  const bool trans_a = call.attrs.integer("trans_a") != 0;
  const bool trans_b = call.attrs.integer("trans_b") != 0;
  const std::int64_t m = y.dim(-2), n = y.dim(-1), k = a.dim(trans_a ? -2 : -1);
  const double alpha = call.attrs.has("alpha") ? call.attrs.real("alpha") : 1;
  const bool one_b = b.extents.rank() == 2;
  for (std::int64_t i = 0; i < y.elements(); ++i) {
    const std::int64_t matrix = i / (m * n), row = i / n % m, column = i % n;
    for (std::int64_t j = 0; j < k; ++j)
      y[i] += alpha * element(a, matrix * m * k, trans_a, row, j) *
              element(b, one_b ? 0 : matrix * k * n, trans_b, j, column);
  }
  if (!call.has_input(2)) return;
  const RefTensor& c = call.in(2);  // as long as a row, or as y
  for (std::int64_t i = 0; i < y.elements(); ++i)
    y[i] += call.attrs.real("beta") * c[i % c.elements()];
}

struct Product {
  std::string name;
  Extents leading = {};
  std::int64_t m = 1, k = 1, n = 1;
  bool one_b = false;  ///< b has two dimensions whatever `leading`
  DType dtype = DType::f32;
};

Extents matrix(const Extents& leading, bool transposed, std::int64_t rows, std::int64_t columns) {
  Extents e = leading;
  e.push_back(transposed ? columns : rows);
  e.push_back(transposed ? rows : columns);
  return e;
}

OpCase product_case(const std::string& op, const Product& p, bool trans_a, bool trans_b) {
  const std::string flags = std::string("_") + (trans_a ? "t" : "n") + (trans_b ? "t" : "n");
  OpCase c{.name = p.name + flags,
           .op = op,
           .attrs = {{"trans_a", std::int64_t{trans_a}}, {"trans_b", std::int64_t{trans_b}}},
           .inputs = {{p.dtype, matrix(p.leading, trans_a, p.m, p.k)},
                      {p.dtype, matrix(p.one_b ? Extents{} : p.leading, trans_b, p.k, p.n)}},
           .outputs = {{p.dtype, matrix(p.leading, false, p.m, p.n)}},
           .reference = matmul_reference,
           .terms = p.k};
  if (p.dtype == DType::f32) c.differentiate = {0, 1};
  return c;
}

/// Finite differences of many elements take long.
OpCase without_gradient(OpCase c) {
  c.differentiate = {};
  return c;
}

OpCase gemm_case(const std::string& name, const Extents& c_extents, double alpha, double beta,
                 bool trans_a, bool trans_b, Product p = {.m = 13, .k = 7, .n = 9}) {
  p.name = name;
  OpCase c = product_case("Gemm", p, trans_a, trans_b);
  c.attrs.set("alpha", alpha);
  c.attrs.set("beta", beta);
  c.inputs.push_back({.extents = c_extents});
  c.terms = p.k + 1;
  if (beta != 0) c.differentiate = {0, 1, 2};
  return c;
}

std::vector<OpCase> error_cases() {
  return {{.name = "rejects_other_inner_dimensions",
           .op = "MatMul",
           .inputs = {{.extents = {4, 5}}, {.extents = {6, 3}}},
           .error = "inner dimensions differ: 5 columns of op(a), 6 rows of op(b)"},
          {.name = "rejects_other_leading_dimensions",
           .op = "MatMul",
           .inputs = {{.extents = {2, 4, 5}}, {.extents = {3, 5, 3}}},
           .error = "leading dimension 0 differs"},
          {.name = "rejects_vectors",
           .op = "MatMul",
           .inputs = {{.extents = {4, 5}}, {.extents = {5}}},
           .error = "two dimensions or more"},
          {.name = "rejects_mixed_types",
           .op = "Gemm",
           .inputs = {{.extents = {4, 5}}, {DType::bf16, {5, 3}}},
           .error = "operands of one type"},
          {.name = "rejects_other_c",
           .op = "Gemm",
           .inputs = {{.extents = {4, 5}}, {.extents = {5, 3}}, {.extents = {4}}},
           .error = "[N], [1, N] or [M, N]"}};
}

}  // namespace

std::vector<OpCase> matmul_cases() {
  std::vector<OpCase> cases;
  for (const bool trans_a : {false, true})
    for (const bool trans_b : {false, true}) {
      cases.push_back(product_case("MatMul", {.name = "13x17x11", .m = 13, .k = 17, .n = 11},
                                   trans_a, trans_b));
      cases.push_back(product_case(
          "MatMul", {.name = "batch3x2_5x7x9", .leading = {3, 2}, .m = 5, .k = 7, .n = 9}, trans_a,
          trans_b));
      cases.push_back(product_case("MatMul", {.name = "row_1x19x6", .m = 1, .k = 19, .n = 6},
                                   trans_a, trans_b));
      cases.push_back(product_case(
          "MatMul", {.name = "bf16_8x16x24", .m = 8, .k = 16, .n = 24, .dtype = DType::bf16},
          trans_a, trans_b));
      cases.push_back(gemm_case("bias", {9}, 1, 1, trans_a, trans_b));
      cases.push_back(gemm_case("scaled", {9}, 0.5, -2, trans_a, trans_b));
      if (!trans_a)
        cases.push_back(product_case(
            "MatMul",
            {.name = "one_b_4x6x5x8", .leading = {4}, .m = 6, .k = 5, .n = 8, .one_b = true}, false,
            trans_b));
    }
  cases.push_back(
      product_case("MatMul", {.name = "column_31x8x1", .m = 31, .k = 8, .n = 1}, false, false));
  // Large enough to be multiplied matrix by matrix.
  for (const bool trans_b : {false, true})
    cases.push_back(without_gradient(product_case(
        "MatMul", {.name = "batch2_129x130x260", .leading = {2}, .m = 129, .k = 130, .n = 260},
        false, trans_b)));
  cases.push_back(without_gradient(product_case(
      "MatMul",
      {.name = "one_b_2x70x128x257", .leading = {2}, .m = 70, .k = 128, .n = 257, .one_b = true},
      false, true)));
  cases.push_back(without_gradient(
      product_case("MatMul", {.name = "200x128x256", .m = 200, .k = 128, .n = 256}, true, false)));
  cases.push_back(without_gradient(
      gemm_case("large_bias", {256}, 1, 1, false, true, {.m = 128, .k = 128, .n = 256})));
  cases.push_back(product_case("Gemm", {.name = "no_c", .m = 6, .k = 5, .n = 7}, false, true));
  cases.push_back(gemm_case("row_c", {1, 9}, 1, 1, false, true));
  cases.push_back(gemm_case("whole_c", {13, 9}, 1, 1, false, false));
  cases.push_back(gemm_case("whole_c_scaled", {13, 9}, 2, 0.25, false, false));
  cases.push_back(gemm_case("beta_0", {9}, 1, 0, false, false));
  cases.push_back(in_bf16(gemm_case("bias_f32", {9}, 1, 1, false, true), {0, 1}, {0}));
  cases.push_back(in_bf16(gemm_case("scaled_f32", {9}, 0.5, -2, false, false), {0, 1}, {0}));
  OpCase to_f32 =
      in_bf16(product_case("MatMul", {.name = "to_f32", .m = 13, .k = 17, .n = 11}, true, false),
              {0, 1}, {});
  to_f32.attrs.set("to", std::string("f32"));
  cases.push_back(to_f32);
  to_f32.name = "rejects_other_results";
  to_f32.attrs.set("to", std::string("f64"));
  to_f32.error = "to=`f64` of a product";
  cases.push_back(to_f32);
  for (auto& c : error_cases()) cases.push_back(std::move(c));
  return cases;
}

}  // namespace hpdlf::test
