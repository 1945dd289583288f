#include "codelets/cpu/matrix_product.hpp"

#include <algorithm>
#include <cstring>

#include "codelets/cpu/split_product.hpp"
#include "codelets/cpu/workspace_layout.hpp"

namespace hpdlf::codelets {
namespace {

using onednn::Primitive;

constexpr std::int64_t kPage = 4096 / sizeof(float);

/// oneDNN's primitive reads a b with dense rows as it is, at 70 % of the speed of one with dense columns, and at a third of it where the
/// rows are pages apart and fall onto the same few cache sets; sgemm packs b as it goes. 128 x 768 x 2304, one core: 115 and 165 GFLOP/s.
/// It pays for few rows of a no more than for short sums of an a that has to be transposed too (linear_bench).
bool is_for_sgemm(const MatrixProductShape& s) {
  constexpr std::int64_t kFewestRows = 64, kFewestColumns = 256, kShortSum = 64,
                         kTransposedSum = 192;
  const bool is_good_as_it_is = s.a.column != 1 && s.b.row % kPage != 0;
  return s.factors == DType::f32 && s.b.column == 1 && !s.bias && s.n >= kFewestColumns &&
         s.m >= kFewestRows && s.k >= (is_good_as_it_is ? kTransposedSum : kShortSum);
}

/// Below some size of y (nocopy_checker_avx2() and _avx512() in its source) sgemm does not pack b but reads it as it lies, again and again:
/// at 40 GFLOP/s instead of 76 where its rows are pages apart (128 x 768 x 3072 on a core of an AMD EPYC with AVX2). A copy of a piece of b
/// lies in L2, its rows on cache sets of their own; with AVX2 it pays for other rows, too (256 x 768 x 768: 67 and 90 GFLOP/s).
bool must_copy(const MatrixProductShape& s) {
  const bool has_avx512 = onednn::has_avx512();
  const double unpacked = has_avx512 ? 0.00196 : 0.0038;
  return is_for_sgemm(s) && (s.b.row % kPage == 0 || !has_avx512) &&
         1 / static_cast<double>(s.m) + 1 / static_cast<double>(s.n) >= unpacked;
}
constexpr std::int64_t kPieceRows = 256, kPieceColumns = 768, kPieceStride = kPieceColumns + 16;

onednn::Key key_of(const MatrixProductShape& s) {
  onednn::Key key("product");
  for (const std::int64_t v : {s.m, s.n, s.k, s.a.row, s.a.column, s.b.row, s.b.column, s.y_row})
    key.add(v);
  return key.add(s.sum).add(s.bias).add(s.factors).add(s.result);
}

/// One row has no stride; oneDNN refuses some that say nothing.
dnnl::memory::desc desc_of(DType dtype, std::int64_t rows, std::int64_t columns,
                           const MatrixStrides& strides) {
  const std::int64_t between_rows = rows > 1 ? strides.row : strides.column == 1 ? columns : 1;
  return onednn::strided_desc(dtype, {rows, columns}, {between_rows, strides.column});
}

Primitive make_product(const MatrixProductShape& s) {
  const auto a = desc_of(s.factors, s.m, s.k, s.a);
  const auto b = desc_of(s.factors, s.k, s.n, s.b);
  const auto y = desc_of(s.result, s.m, s.n, {s.y_row, 1});
  const auto bias = s.bias ? desc_of(DType::f32, 1, s.n, {s.n, 1}) : dnnl::memory::desc();
  const dnnl::matmul::primitive_desc desc(onednn::cpu_engine(), a, b, bias, y,
                                          onednn::primitive_attributes(s.sum));
  std::vector<Primitive::Argument> arguments = {
      {DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, y}};
  if (s.bias) arguments.push_back({DNNL_ARG_BIAS, bias});
  return onednn::make_primitive(desc, dnnl::matmul(desc), std::move(arguments));
}

bool must_widen(const MatrixProductShape& s) {
  return s.factors == DType::bf16 && !onednn::has_bf16();
}

/// The product of dense f32 copies of a and b, to a copy of y if that is bf16.
MatrixProductShape widened(MatrixProductShape s) {
  s.factors = DType::f32;
  s.a = {s.k, 1};
  s.b = {s.n, 1};
  if (s.result == DType::f32) return s;
  s.result = DType::f32;
  s.y_row = s.n;
  s.sum = false;
  return s;
}

/// What oneDNN computes.
MatrixProductShape computed(const MatrixProductShape& s) { return must_widen(s) ? widened(s) : s; }

/// Where the copies lie in the scratch memory; what the product needs comes last.
struct WideCopies {
  WorkspaceLayout layout;
  std::int64_t a, b, y, product;
  explicit WideCopies(const MatrixProductShape& s)
      : a(layout.add(4 * s.m * s.k)),
        b(layout.add(4 * s.k * s.n)),
        y(layout.add(s.result == DType::f32 ? 0 : 4 * s.m * s.n)),
        product(layout.add(0)) {}
};

TensorView matrix(const void* data, DType dtype, std::int64_t rows, std::int64_t columns,
                  const MatrixStrides& strides) {
  TensorView view = TensorView::dense(const_cast<void*>(data), dtype, {rows, columns});
  view.strides = {strides.row, strides.column};
  return view;
}

void sgemm(const MatrixProductShape& s, const float* a, const float* b, float* y, float* piece) {
  if (!must_copy(s))
    return onednn::sgemm({s.m, s.n, s.k, s.a.row, s.a.column, s.b.row, 1, s.y_row, s.sum}, a, b, y);
  for (std::int64_t n = 0; n < s.n; n += kPieceColumns)
    for (std::int64_t k = 0; k < s.k; k += kPieceRows) {
      const std::int64_t columns = std::min(kPieceColumns, s.n - n),
                         rows = std::min(kPieceRows, s.k - k);
      for (std::int64_t r = 0; r < rows; ++r)
        std::memcpy(piece + r * kPieceStride, b + (k + r) * s.b.row + n,
                    static_cast<std::size_t>(columns) * sizeof(float));
      onednn::sgemm(
          {s.m, columns, rows, s.a.row, s.a.column, kPieceStride, 1, s.y_row, s.sum || k > 0},
          a + k * s.a.column, piece, y + n);
    }
}

void multiply_f32(const MatrixProductShape& s, const float* a, const float* b, float* y,
                  std::byte* scratch, const float* bias) {
  if (is_for_split_product(s)) return split_product(s, a, b, y, s.bias ? bias : nullptr, scratch);
  sgemm(s, a, b, y, reinterpret_cast<float*>(scratch));
}

}  // namespace

bool beats_onednn(const MatrixProductShape& s) {
  return is_for_split_product(s) || is_for_sgemm(s);
}

MatrixProduct::MatrixProduct(const MatrixProductShape& shape) : shape_(shape) {
  const MatrixProductShape s = computed(shape);
  if (!beats_onednn(s))
    product_ = &onednn::primitive_for(key_of(s), [&] { return make_product(s); });
}

std::int64_t MatrixProduct::scratch_bytes() const {
  const std::int64_t copies = must_widen(shape_) ? WideCopies(shape_).product : 0;
  if (product_ != nullptr) return copies + product_->scratchpad_bytes();
  const MatrixProductShape s = computed(shape_);
  if (is_for_split_product(s)) return copies + split_product_scratch_bytes(s);
  return copies + (must_copy(s) ? kPieceRows * kPieceStride * std::int64_t{sizeof(float)} : 0);
}

void MatrixProduct::widen(const void* a, const void* b, void* y, std::byte* scratch,
                          const float* bias) const {
  const MatrixProductShape& s = shape_;
  const WideCopies copies(s);
  const auto copy = [](const TensorView& from, const TensorView& to, bool sum) {
    run(onednn::reorder(from, to, sum), {from.data, to.data}, nullptr);
  };
  copy(matrix(a, s.factors, s.m, s.k, s.a),
       matrix(scratch + copies.a, DType::f32, s.m, s.k, {s.k, 1}), false);
  copy(matrix(b, s.factors, s.k, s.n, s.b),
       matrix(scratch + copies.b, DType::f32, s.k, s.n, {s.n, 1}), false);
  const bool is_f32 = s.result == DType::f32;
  const MatrixProduct product(widened(s));
  product(scratch + copies.a, scratch + copies.b, is_f32 ? y : scratch + copies.y,
          scratch + copies.product, bias);
  if (!is_f32)
    copy(matrix(scratch + copies.y, DType::f32, s.m, s.n, {s.n, 1}),
         matrix(y, s.result, s.m, s.n, {s.y_row, 1}), s.sum);
}

void MatrixProduct::operator()(const void* a, const void* b, void* y, std::byte* scratch,
                               const float* bias) const {
  const MatrixProductShape& s = shape_;
  if (must_widen(s)) return widen(a, b, y, scratch, bias);
  if (product_ == nullptr)
    multiply_f32(s, static_cast<const float*>(a), static_cast<const float*>(b),
                 static_cast<float*>(y), scratch, bias);
  else if (s.bias)
    run(*product_, {a, b, y, bias}, scratch);
  else
    run(*product_, {a, b, y}, scratch);
}

}  // namespace hpdlf::codelets
