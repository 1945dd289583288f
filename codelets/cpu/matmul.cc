// MatMul and Gemm, one thread a tile: by oneDNN, or matrix by matrix where MatrixProduct is faster. Strides and transpositions are theirs;
// only operands of a type that the processor does not multiply, and results that need a second pass, go through the workspace.
// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "codelets/cpu/matrix_product.hpp"
#include "codelets/cpu/onednn.hpp"
#include "codelets/cpu/workspace_layout.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {
namespace {

using onednn::Primitive;

/// y = alpha op(a) op(b) + beta c. Views of a, b, c as oneDNN wants them: the rank of y, extents 1 where they are broadcast.
struct Problem {
  TensorView a, b, y;
  TensorView c;  // data == nullptr: none
  bool has_c = false;
  double alpha = 1, beta = 1;
  bool accumulate = false;

  /// A bias is added in oneDNN's own pass; anything else takes post-operations.
  [[nodiscard]] bool has_bias() const { return has_c && is_plain() && c.extents[0] == 1; }
  [[nodiscard]] bool has_post_operations() const { return alpha != 1 || (has_c && !has_bias()); }

 private:
  [[nodiscard]] bool is_plain() const { return alpha == 1 && beta == 1; }
};

TensorView transposed_if(bool transposed, TensorView view) {
  if (!transposed) return view;
  const int last = view.rank() - 1;
  for (Extents* dims : {&view.extents, &view.strides, &view.origin, &view.whole})
    std::swap((*dims)[last], (*dims)[last - 1]);
  return view;
}

/// With leading dimensions of extent 1 up to `rank`.
TensorView widened(const TensorView& view, int rank) {
  TensorView v = view;
  v.extents = v.strides = v.origin = v.whole = {};
  for (int i = view.rank(); i < rank; ++i) {
    v.extents.push_back(1);
    v.strides.push_back(view.elements());
    v.origin.push_back(0);
    v.whole.push_back(1);
  }
  for (int i = 0; i < view.rank(); ++i) {
    v.extents.push_back(view.extents[i]);
    v.strides.push_back(view.strides[i]);
    v.origin.push_back(view.origin[i]);
    v.whole.push_back(view.whole[i]);
  }
  return v;
}

/// True if dimension i steps over all of dimension i + 1, so that the two are one.
bool is_mergeable(const TensorView& view, int i) {
  return view.extents[i] == 1 || view.strides[i] == view.strides[i + 1] * view.extents[i + 1];
}

TensorView merged(const TensorView& view, int i) {
  TensorView v = view;
  v.extents = v.strides = v.origin = v.whole = {};
  for (int d = 0; d < view.rank(); ++d) {
    if (d == i) continue;
    v.extents.push_back(d == i + 1 ? view.extents[i] * view.extents[d] : view.extents[d]);
    v.strides.push_back(view.strides[d]);
    v.origin.push_back(0);
    v.whole.push_back(v.extents.back());
  }
  return v;
}

/// One b for every matrix of a: the rows of all of them are one long matrix, as far as the strides allow it.
void merge_rows(Problem& p) {
  while (p.y.rank() > 2 && is_mergeable(p.a, p.a.rank() - 3) && is_mergeable(p.y, p.y.rank() - 3)) {
    p.a = merged(p.a, p.a.rank() - 3);
    p.y = merged(p.y, p.y.rank() - 3);
  }
}

Problem problem_of(const KernelArgs& args) {
  const Attrs& attrs = *args.attrs;
  const bool is_gemm = attrs.has("alpha");
  const bool trans_a = attrs.integer("trans_a") != 0;
  Problem p{.a = transposed_if(trans_a, args.in(0)),
            .b = transposed_if(attrs.integer("trans_b") != 0, args.in(1)),
            .y = args.out(0),
            .accumulate = args.accumulate};
  if (is_gemm) p.alpha = attrs.real("alpha");
  if (is_gemm) p.beta = attrs.real("beta");
  // c is added once: by the tile that holds the first of the summed products.
  p.has_c = args.inputs.size() > 2 && p.a.origin.back() == 0 && p.beta != 0;
  if (p.b.rank() == 2 && !trans_a) merge_rows(p);
  p.b = widened(p.b, p.y.rank());
  if (p.has_c) p.c = widened(args.in(2), p.y.rank());
  return p;
}

/// An operand as it is, or a dense copy of another type in the workspace.
struct Staged {
  TensorView view;
  bool is_copied = false;
  std::int64_t at = 0;

  Staged() = default;
  Staged(const TensorView& v, DType compute, bool must_copy, WorkspaceLayout& layout)
      : view(v), is_copied(must_copy || v.dtype != compute) {
    if (!is_copied) return;
    view = TensorView::dense(nullptr, compute, v.extents);
    at = layout.add(view.bytes());
  }
  [[nodiscard]] TensorView in(std::byte* workspace) const {
    TensorView v = view;
    if (is_copied) v.data = workspace + at;
    return v;
  }
  /// Where oneDNN reads `original` from.
  [[nodiscard]] const void* read(const TensorView& original, std::byte* workspace) const {
    const TensorView copy = in(workspace);
    if (is_copied) run(onednn::reorder(original, copy, false), {original.data, copy.data}, nullptr);
    return copy.data;
  }
};

struct Call {
  DType compute;
  WorkspaceLayout layout;
  Staged a, b, y, c;
  bool sum;  // by the primitive itself
  const Primitive* primitive;
  std::int64_t scratchpad_at;

  explicit Call(const Problem& p)
      : compute(p.a.dtype == DType::bf16 && !onednn::has_bf16() ? DType::f32 : p.a.dtype),
        a(p.a, compute, false, layout),
        b(p.b, compute, false, layout),
        y(p.y, wide_or(compute, p.y), p.accumulate && p.has_post_operations(), layout),
        c(p.has_c ? Staged(p.c, wide_or(compute, p.c), false, layout) : Staged()),
        sum(p.accumulate && !y.is_copied),
        primitive(&onednn::primitive_for(key(p), [&] { return make(p); })),
        scratchpad_at(layout.add(primitive->scratchpad_bytes())) {}

 private:
  [[nodiscard]] onednn::Key key(const Problem& p) const {
    onednn::Key key("matmul");
    key.add(compute)
        .add(sum)
        .add(p.has_c)
        .add(std::bit_cast<std::int64_t>(p.alpha))
        .add(std::bit_cast<std::int64_t>(p.beta));
    key.add(a.view.extents)
        .add(a.view.strides)
        .add(b.view.extents)
        .add(b.view.strides)
        .add(y.view.strides);
    key.add(y.view.dtype);
    if (p.has_c) key.add(c.view.dtype).add(c.view.extents).add(c.view.strides);
    return key;
  }

  /// Products of bf16 may be added to f32, and a summand may be f32.
  static DType wide_or(DType compute, const TensorView& view) {
    return view.dtype == DType::f32 ? DType::f32 : compute;
  }

  [[nodiscard]] Primitive make(const Problem& p) const {
    const auto desc_of = [](const TensorView& v) {
      return onednn::strided_desc(v.dtype, v.extents, v.strides);
    };
    const auto a_desc = desc_of(a.view);
    const auto b_desc = desc_of(b.view);
    const auto y_desc = desc_of(y.view);
    auto attributes = onednn::primitive_attributes(sum);
    if (p.has_post_operations()) attributes.set_post_ops(post_operations(p));
    const dnnl::memory::desc bias = p.has_bias() ? desc_of(c.view) : dnnl::memory::desc();
    const dnnl::matmul::primitive_desc desc(onednn::cpu_engine(), a_desc, b_desc, bias, y_desc,
                                            attributes);
    std::vector<Primitive::Argument> arguments = {
        {DNNL_ARG_SRC, a_desc}, {DNNL_ARG_WEIGHTS, b_desc}, {DNNL_ARG_DST, y_desc}};
    if (p.has_bias())
      arguments.push_back({DNNL_ARG_BIAS, bias});
    else if (p.has_c)
      arguments.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(1) | DNNL_ARG_SRC_1, desc_of(c.view)});
    return onednn::make_primitive(desc, dnnl::matmul(desc), std::move(arguments));
  }

  /// (product * alpha / beta + c) * beta: oneDNN scales what it has, not what it adds.
  [[nodiscard]] dnnl::post_ops post_operations(const Problem& p) const {
    const auto scale = [](dnnl::post_ops& post, double factor) {
      post.append_eltwise(dnnl::algorithm::eltwise_linear, static_cast<float>(factor), 0.0F);
    };
    dnnl::post_ops post;
    scale(post, p.has_c ? p.alpha / p.beta : p.alpha);
    if (!p.has_c) return post;
    post.append_binary(dnnl::algorithm::binary_add,
                       onednn::strided_desc(c.view.dtype, c.view.extents, c.view.strides));
    scale(post, p.beta);
    return post;
  }
};

void run_matmul(const KernelArgs& args) {
  const Problem p = problem_of(args);
  const Call call(p);
  std::byte* workspace = args.workspace.data();
  const void* a = call.a.read(p.a, workspace);
  const void* b = call.b.read(p.b, workspace);
  const TensorView y = call.y.is_copied ? call.y.in(workspace) : p.y;
  void* scratchpad = workspace + call.scratchpad_at;
  if (p.has_c)
    run(*call.primitive, {a, b, y.data, call.c.read(p.c, workspace)}, scratchpad);
  else
    run(*call.primitive, {a, b, y.data}, scratchpad);
  if (call.y.is_copied) run(onednn::reorder(y, p.y, p.accumulate), {y.data, p.y.data}, nullptr);
}

std::size_t matmul_workspace(const KernelArgs& args) {
  return Call(problem_of(args)).layout.bytes();
}

// ---- matrix by matrix

MatrixStrides strides_of_matrix(const TensorView& view) {
  return {view.strides[view.rank() - 2], view.strides[view.rank() - 1]};
}

/// Each of the matrices of a problem that is_one_by_one().
MatrixProductShape shape_of_matrix(const Problem& p) {
  const int rows = p.y.rank() - 2, columns = p.y.rank() - 1;
  return {.m = p.y.extents[rows],
          .n = p.y.extents[columns],
          .k = p.a.extents[columns],
          .a = strides_of_matrix(p.a),
          .b = strides_of_matrix(p.b),
          .y_row = p.y.strides[rows],
          .sum = p.accumulate,
          .bias = p.has_c};
}

/// Where the i-th matrix of y finds its own, in elements; one that is broadcast is everyone's.
std::int64_t offset_of_matrix(const TensorView& view, const Extents& y, std::int64_t i) {
  std::int64_t offset = 0;
  for (int d = view.rank() - 3; d >= 0; --d) {
    if (view.extents[d] > 1) offset += i % y[d] * view.strides[d];
    i /= y[d];
  }
  return offset;
}

bool is_one_by_one(const KernelArgs& args) {
  const Problem p = problem_of(args);
  const auto is_f32 = [](const TensorView& v) { return v.dtype == DType::f32; };
  const auto is_dense = [](const TensorView& v) { return v.strides.back() == 1; };
  const auto is_matrix = [&](const TensorView& v) {
    return is_f32(v) && (is_dense(v) || v.strides[v.rank() - 2] == 1);
  };
  return !p.has_post_operations() && is_matrix(p.a) && is_matrix(p.b) && is_f32(p.y) &&
         is_dense(p.y) && (!p.has_c || (is_f32(p.c) && is_dense(p.c))) &&
         beats_onednn(shape_of_matrix(p));
}

void run_one_by_one(const KernelArgs& args) {
  const Problem p = problem_of(args);
  const MatrixProduct product(shape_of_matrix(p));
  const Extents& y = p.y.extents;
  const std::int64_t matrices = p.y.elements() / (y[p.y.rank() - 1] * y[p.y.rank() - 2]);
  for (std::int64_t i = 0; i < matrices; ++i) {
    const auto at = [&](const TensorView& v) { return v.as<float>() + offset_of_matrix(v, y, i); };
    product(at(p.a), at(p.b), at(p.y), args.workspace.data(), p.has_c ? at(p.c) : nullptr);
  }
}

std::size_t one_by_one_workspace(const KernelArgs& args) {
  return static_cast<std::size_t>(MatrixProduct(shape_of_matrix(problem_of(args))).scratch_bytes());
}

}  // namespace

void register_matmul_cpu(KernelRegistry& registry) {
  for (const char* op : {"MatMul", "Gemm"}) {
    registry.add({.op = op,
                  .variant = "matrices",
                  .run = run_one_by_one,
                  .supports = is_one_by_one,
                  .workspace = one_by_one_workspace});
    registry.add({.op = op, .variant = "onednn", .run = run_matmul, .workspace = matmul_workspace});
  }
}

}  // namespace hpdlf::codelets
