#include "codelets/cpu/matrix_product.hpp"

namespace hpdlf::codelets {
namespace {

using onednn::Primitive;

/// oneDNN's primitive reads a b with dense rows as it is, at 70 % of the speed of one with dense columns, and at a third of it where the
/// rows are pages apart and fall onto the same few cache sets; sgemm packs b as it goes. 128 x 768 x 2304, one core: 115 and 165 GFLOP/s.
/// It pays for few rows of a no more than for short sums of an a that has to be transposed too (linear_bench).
bool is_for_sgemm(const MatrixProductShape& s) {
  constexpr std::int64_t kPage = 4096 / sizeof(float), kFewestRows = 64, kFewestColumns = 256,
                         kShortSum = 64, kTransposedSum = 192;
  const bool is_good_as_it_is = s.a.column != 1 && s.b.row % kPage != 0;
  return s.b.column == 1 && !s.bias && s.n >= kFewestColumns && s.m >= kFewestRows &&
         s.k >= (is_good_as_it_is ? kTransposedSum : kShortSum);
}

onednn::Key key_of(const MatrixProductShape& s) {
  onednn::Key key("product");
  for (const std::int64_t v : {s.m, s.n, s.k, s.a.row, s.a.column, s.b.row, s.b.column, s.y_row})
    key.add(v);
  return key.add(s.sum).add(s.bias);
}

/// One row has no stride; oneDNN refuses some that say nothing.
dnnl::memory::desc desc_of(std::int64_t rows, std::int64_t columns, const MatrixStrides& strides) {
  const std::int64_t between_rows = rows > 1 ? strides.row : strides.column == 1 ? columns : 1;
  return onednn::strided_desc(DType::f32, {rows, columns}, {between_rows, strides.column});
}

Primitive make_product(const MatrixProductShape& s) {
  const auto a = desc_of(s.m, s.k, s.a);
  const auto b = desc_of(s.k, s.n, s.b);
  const auto y = desc_of(s.m, s.n, {s.y_row, 1});
  const auto bias = s.bias ? desc_of(1, s.n, {s.n, 1}) : dnnl::memory::desc();
  const dnnl::matmul::primitive_desc desc(onednn::cpu_engine(), a, b, bias, y,
                                          onednn::primitive_attributes(s.sum));
  std::vector<Primitive::Argument> arguments = {
      {DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, y}};
  if (s.bias) arguments.push_back({DNNL_ARG_BIAS, bias});
  return onednn::make_primitive(desc, dnnl::matmul(desc), std::move(arguments));
}

}  // namespace

MatrixProduct::MatrixProduct(const MatrixProductShape& shape) : shape_(shape) {
  if (!is_for_sgemm(shape))
    product_ = &onednn::primitive_for(key_of(shape), [&] { return make_product(shape); });
}

std::int64_t MatrixProduct::scratch_bytes() const {
  return product_ != nullptr ? product_->scratchpad_bytes() : 0;
}

void MatrixProduct::operator()(const float* a, const float* b, float* y, std::byte* scratch,
                               const float* bias) const {
  const MatrixProductShape& s = shape_;
  if (product_ == nullptr)
    onednn::sgemm({s.m, s.n, s.k, s.a.row, s.a.column, s.b.row, s.b.column, s.y_row, s.sum}, a, b,
                  y);
  else if (s.bias)
    run(*product_, {a, b, y, bias}, scratch);
  else
    run(*product_, {a, b, y}, scratch);
}

}  // namespace hpdlf::codelets
