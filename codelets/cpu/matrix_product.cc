#include "codelets/cpu/matrix_product.hpp"

namespace hpdlf::codelets {
namespace {

using onednn::Primitive;

/// Rows of b a multiple of a page apart fall onto the same few cache sets. oneDNN reads such a b as it is, at half its speed (768 x 3072,
/// one core: 80 GFLOP/s as it is, 145 packed first, where 165 is the most any layout gets). Few rows of a do not pay for packing.
bool must_pack(const MatrixProductShape& s) {
  constexpr std::int64_t kPage = 4096 / sizeof(float), kFewestRows = 64;
  return s.b.column == 1 && s.b.row % kPage == 0 && s.n >= kPage / 4 && s.k >= kFewestRows &&
         s.m >= kFewestRows;
}

onednn::Key key_of(std::string_view kind, const MatrixProductShape& s, bool packed) {
  onednn::Key key(kind);
  for (const std::int64_t v : {s.m, s.n, s.k, s.a.row, s.a.column, s.b.row, s.b.column, s.y_row})
    key.add(v);
  return key.add(s.sum).add(s.bias).add(packed);
}

/// One row has no stride; oneDNN refuses some that say nothing.
dnnl::memory::desc desc_of(std::int64_t rows, std::int64_t columns, const MatrixStrides& strides) {
  const std::int64_t between_rows = rows > 1 ? strides.row : strides.column == 1 ? columns : 1;
  return onednn::strided_desc(DType::f32, {rows, columns}, {between_rows, strides.column});
}

Primitive make_product(const MatrixProductShape& s, bool packed) {
  const auto a = desc_of(s.m, s.k, s.a);
  const auto b = packed ? dnnl::memory::desc({s.k, s.n}, dnnl::memory::data_type::f32,
                                             dnnl::memory::format_tag::any)
                        : desc_of(s.k, s.n, s.b);
  const auto y = desc_of(s.m, s.n, {s.y_row, 1});
  const auto bias = s.bias ? desc_of(1, s.n, {s.n, 1}) : dnnl::memory::desc();
  const dnnl::matmul::primitive_desc desc(onednn::cpu_engine(), a, b, bias, y,
                                          onednn::primitive_attributes(s.sum));
  std::vector<Primitive::Argument> arguments = {
      {DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, desc.weights_desc()}, {DNNL_ARG_DST, y}};
  if (s.bias) arguments.push_back({DNNL_ARG_BIAS, bias});
  return onednn::make_primitive(desc, dnnl::matmul(desc), std::move(arguments));
}

}  // namespace

MatrixProduct::MatrixProduct(const MatrixProductShape& shape) : bias_(shape.bias) {
  const bool packed = must_pack(shape);
  product_ = &onednn::primitive_for(key_of("product", shape, packed),
                                    [&] { return make_product(shape, packed); });
  if (packed)
    pack_ = &onednn::reorder(key_of("pack", shape, packed), desc_of(shape.k, shape.n, shape.b),
                             product_->arguments[1].desc, false);
}

std::int64_t MatrixProduct::packed_bytes() const {
  constexpr std::int64_t kLine = 64;
  if (pack_ == nullptr) return 0;
  const auto bytes = static_cast<std::int64_t>(product_->arguments[1].desc.get_size());
  return (bytes + kLine - 1) / kLine * kLine;
}

std::int64_t MatrixProduct::scratch_bytes() const {
  return packed_bytes() + product_->scratchpad_bytes();
}

void MatrixProduct::operator()(const float* a, const float* b, float* y, std::byte* scratch,
                               const float* bias) const {
  const void* weights = b;
  if (pack_ != nullptr) {
    run(*pack_, {b, scratch}, nullptr);
    weights = scratch;
  }
  std::byte* own = scratch + packed_bytes();
  if (bias_)
    run(*product_, {a, weights, y, bias}, own);
  else
    run(*product_, {a, weights, y}, own);
}

}  // namespace hpdlf::codelets
