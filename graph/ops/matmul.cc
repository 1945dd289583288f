// Products of matrices.
//   MatMul   y = op(a) op(b)                      a [..., M, K], b [..., K, N] or [K, N]; op transposes the last two dimensions if asked
//   Gemm     y = alpha op(a) op(b) + beta c       of two dimensions; c [N], [1, N] or [M, N]
// Gradients are products again, with other transpositions.
// Source: ONNX MatMul-13 (b without broadcast of leading dimensions other than by leaving them all out) and Gemm-13.
// Kernels: codelets/cpu/matmul.cc.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"
#include "graph/ops/grad_sum.hpp"

namespace hpdlf::graph {
namespace {

bool flag(const Attrs& attrs, const char* name) { return attrs.integer(name) != 0; }

/// Rows and columns of op(m).
std::pair<std::int64_t, std::int64_t> matrix_extents(const TensorType& m, bool transposed) {
  const int rank = m.extents.rank();
  const std::pair extents(m.extents[rank - 2], m.extents[rank - 1]);
  return transposed ? std::pair(extents.second, extents.first) : extents;
}

void check_operands(const TensorType& a, const TensorType& b) {
  HPDLF_CHECK(a.dtype == DType::f32 || a.dtype == DType::bf16,
              "a is {}; products take f32 and bf16", to_string(a));
  HPDLF_CHECK(a.dtype == b.dtype, "a is {} and b {}; products take operands of one type",
              to_string(a), to_string(b));
  HPDLF_CHECK(a.extents.rank() >= 2 && b.extents.rank() >= 2,
              "a is {} and b {}; both need two dimensions or more", to_string(a), to_string(b));
}

/// op(a) op(b); a and b were checked.
TensorType product_type(const OpCall& call) {
  const TensorType& a = call.input(0);
  const TensorType& b = call.input(1);
  const auto [m, k] = matrix_extents(a, flag(*call.attrs, "trans_a"));
  const auto [rows, n] = matrix_extents(b, flag(*call.attrs, "trans_b"));
  HPDLF_CHECK(k == rows,
              "inner dimensions differ: {} columns of op(a), {} rows of op(b); a is {}, b is {}", k,
              rows, to_string(a), to_string(b));
  const std::string& to = call.attrs->string("to");
  HPDLF_CHECK(to.empty() || to == "f32", "to=`{}` of a product; empty or f32", to);
  TensorType y = a;
  if (!to.empty()) y.dtype = DType::f32;
  y.extents[y.extents.rank() - 2] = m;
  y.extents[y.extents.rank() - 1] = n;
  return y;
}

void infer_matmul(OpCall& call) {
  const TensorType& a = call.input(0);
  const TensorType& b = call.input(1);
  check_operands(a, b);
  HPDLF_CHECK(b.extents.rank() == 2 || b.extents.rank() == a.extents.rank(),
              "b is {}; for a {} it must have two dimensions or as many", to_string(b),
              to_string(a));
  HPDLF_CHECK(b.extents.rank() == a.extents.rank() || !flag(*call.attrs, "trans_a"),
              "trans_a needs an a and a b of as many dimensions; a is {}, b is {}", to_string(a),
              to_string(b));
  for (int i = 0; b.extents.rank() > 2 && i < a.extents.rank() - 2; ++i)
    HPDLF_CHECK(a.extents[i] == b.extents[i], "leading dimension {} differs: a is {}, b is {}", i,
                to_string(a), to_string(b));
  call.outputs = {product_type(call)};
}

void infer_gemm(OpCall& call) {
  check_operands(call.input(0), call.input(1));
  HPDLF_CHECK(call.input(0).extents.rank() == 2 && call.input(1).extents.rank() == 2,
              "a is {} and b {}; Gemm takes matrices", to_string(call.input(0)),
              to_string(call.input(1)));
  const TensorType y = product_type(call);
  if (call.inputs.size() > 2) {
    const TensorType& c = call.input(2);
    const std::int64_t n = y.extents[1];
    HPDLF_CHECK(
        (c.dtype == y.dtype || c.dtype == DType::f32) &&
            (c.extents == y.extents || c.extents == Extents{n} || c.extents == Extents({1, n})),
        "c is {}; for the product {} it must be of that type or f32, [N], [1, N] or [M, N]",
        to_string(c), to_string(y));
  }
  call.outputs = {y};
}

std::string product_rule(const OpCall& call, const std::string& b_leading) {
  const char* a = flag(*call.attrs, "trans_a") ? "k m" : "m k";
  const char* b = flag(*call.attrs, "trans_b") ? "n k" : "k n";
  return fmt::format("... {}, {}{}", a, b_leading, b);
}

std::string matmul_rule(const OpCall& call) {
  return product_rule(call, call.input(1).extents.rank() > 2 ? "... " : "") + " -> ... m n";
}

std::string gemm_rule(const OpCall& call) {
  std::string rule = product_rule(call, "");
  if (call.inputs.size() > 2) {
    const Extents& c = call.input(2).extents;
    rule += c.rank() == 1 ? ", n" : c[0] == 1 && call.output(0).extents[0] != 1 ? ", 1 n" : ", m n";
  }
  return rule + " -> ... m n";
}

Cost matmul_cost(const OpCall& call) {
  const auto [m, k] = matrix_extents(call.input(0), flag(*call.attrs, "trans_a"));
  return product_cost(call, static_cast<double>(k));
}

// ---- gradients: for y = op(a) op(b), da = dy op(b)' and db = op(a)' dy, or the transposes of these

Attrs product_attrs(const GradContext& g, bool trans_a, bool trans_b) {
  Attrs attrs = {{"trans_a", std::int64_t{trans_a}}, {"trans_b", std::int64_t{trans_b}}};
  if (g.attrs().has("alpha")) attrs.set("alpha", g.attrs().real("alpha"));
  return attrs;
}

/// dy, of the type of a and b.
ValueId factor(GradContext& g) { return emit_cast(g, g.grad_output(0), g.type(g.input(0)).dtype); }

ValueId grad_a(GradContext& g) {
  const bool trans_b = flag(g.attrs(), "trans_b");
  if (!flag(g.attrs(), "trans_a"))
    return g.emit(g.node().spec->name, {factor(g), g.input(1)}, product_attrs(g, false, !trans_b));
  return g.emit(g.node().spec->name, {g.input(1), factor(g)}, product_attrs(g, trans_b, true));
}

/// In f32: b may be a weight.
ValueId grad_b(GradContext& g) {
  const bool trans_a = flag(g.attrs(), "trans_a"), trans_b = flag(g.attrs(), "trans_b");
  Attrs attrs = trans_b ? product_attrs(g, true, trans_a) : product_attrs(g, !trans_a, false);
  attrs.set("to", std::string("f32"));
  if (trans_b) return g.emit(g.node().spec->name, {factor(g), g.input(0)}, attrs);
  return g.emit(g.node().spec->name, {g.input(0), factor(g)}, attrs);
}

void matmul_gradient(GradContext& g) {
  const bool is_shared =
      g.type(g.input(1)).extents.rank() == 2 && g.type(g.input(0)).extents.rank() > 2;
  if (g.wants_grad(0)) g.set_grad_input(0, grad_a(g));
  if (!g.wants_grad(1)) return;
  ValueId db = grad_b(g);
  if (is_shared) {  // one b for all leading indices of a
    db = emit_sum(g, db, leading_axes(g.type(db).extents.rank() - 2), false);
  }
  g.set_grad_input(1, db);
}

std::vector<std::int64_t> shape_of(const Extents& extents) {
  return {extents.begin(), extents.end()};
}

/// factor * x, as the gradient of a sum over a dimension of extent 1.
ValueId scaled(GradContext& g, ValueId x, double factor) {
  if (factor == 1) return x;
  x = emit_cast(g, x, DType::f32);
  const std::vector<std::int64_t> shape = shape_of(g.type(x).extents);
  std::vector<std::int64_t> one_more = shape;
  one_more.insert(one_more.begin(), 1);
  const ValueId scaled = g.emit("ReduceSumGrad", {x},
                                {{"axes", std::vector<std::int64_t>{0}},
                                 {"keepdims", std::int64_t{0}},
                                 {"input_shape", one_more},
                                 {"scale", factor}});
  return g.emit("Reshape", {scaled}, {{"shape", shape}});
}

void gemm_gradient(GradContext& g) {
  if (g.wants_grad(0)) g.set_grad_input(0, grad_a(g));
  if (g.wants_grad(1)) g.set_grad_input(1, grad_b(g));
  if (g.node().inputs.size() < 3 || !g.wants_grad(2)) return;
  ValueId dc = g.wide_grad_output(0);
  const Extents& c = g.type(g.input(2)).extents;
  if (!(c == g.type(dc).extents)) dc = emit_sum(g, dc, {0}, c.rank() == 2);
  g.set_grad_input(2, scaled(g, dc, g.attrs().real("beta")));
}

}  // namespace

void register_matmul_ops(OpRegistry& registry) {
  const AttrSpec trans_a{"trans_a", std::int64_t{0}, "1: the last two dimensions of a are [K, M]"};
  const AttrSpec trans_b{"trans_b", std::int64_t{0}, "1: the last two dimensions of b are [N, K]"};
  const AttrSpec to{"to", std::string(), "f32: y is f32; empty: it is of the type of a"};
  registry.add({.name = "MatMul",
                .onnx = {"MatMul", 13},
                .doc = "Products of the matrices in the last two dimensions of a and b.",
                .inputs = {{"a", "f32 or bf16 [..., M, K]"},
                           {"b", "like a: [..., K, N], or [K, N] for every matrix of a"}},
                .outputs = {{"y", "[..., M, N]"}},
                .attrs = {trans_a, trans_b, to},
                .rule_for = matmul_rule,
                .infer = infer_matmul,
                .cost = matmul_cost,
                .gradient = matmul_gradient,
                .accumulates = true,
                .bf16_inputs = {0, 1},
                .prefers_bf16 = true});
  registry.add({.name = "Gemm",
                .onnx = {"Gemm", 13},
                .doc = "alpha op(a) op(b) + beta c of matrices; fully connected layers.",
                .inputs = {{"a", "f32 or bf16 [M, K]"},
                           {"b", "[K, N]"},
                           {"c", "[N], [1, N] or [M, N]", OperandSpec::Arity::optional}},
                .outputs = {{"y", "[M, N]"}},
                .attrs = {{"alpha", 1.0, "factor of the product"},
                          {"beta", 1.0, "factor of c"},
                          trans_a,
                          trans_b,
                          to},
                .rule_for = gemm_rule,
                .infer = infer_gemm,
                .cost = matmul_cost,
                .gradient = gemm_gradient,
                .accumulates = true,
                .bf16_inputs = {0, 1},
                .prefers_bf16 = true});
}

}  // namespace hpdlf::graph
