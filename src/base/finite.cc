#include "base/finite.hpp"

#include <cstring>

namespace hpdlf {
namespace {

/// True if no element has every bit of `exponent` set. No early end: without one the loop is vectorised.
template <class Bits>
bool none_has(std::span<const std::byte> elements, Bits exponent) {
  Bits found = 0;
  for (std::size_t i = 0; i + sizeof(Bits) <= elements.size(); i += sizeof(Bits)) {
    Bits bits;
    std::memcpy(&bits, elements.data() + i, sizeof bits);
    found |= static_cast<Bits>((bits & exponent) == exponent);
  }
  return found == 0;
}

}  // namespace

bool all_finite(std::span<const std::byte> elements, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return none_has<std::uint32_t>(elements, 0x7f800000U);
    case DType::f64:
      return none_has<std::uint64_t>(elements, 0x7ff0000000000000ULL);
    case DType::f16:
      return none_has<std::uint16_t>(elements, 0x7c00U);
    case DType::bf16:
      return none_has<std::uint16_t>(elements, 0x7f80U);
    default:
      return true;
  }
}

bool all_finite(const TensorView& view) {
  const auto size = size_of(view.dtype);
  const auto* data = static_cast<const std::byte*>(view.data);
  const int outer = view.rank() - view.dense_suffix();
  std::int64_t run = 1;
  for (int i = outer; i < view.rank(); ++i) run *= view.extents[i];
  std::int64_t runs = 1;
  for (int i = 0; i < outer; ++i) runs *= view.extents[i];
  for (std::int64_t r = 0; r < runs; ++r) {
    std::int64_t offset = 0;
    std::int64_t rest = r;
    for (int i = outer - 1; i >= 0; --i) {
      offset += rest % view.extents[i] * view.strides[i];
      rest /= view.extents[i];
    }
    if (!all_finite(
            {data + static_cast<std::size_t>(offset) * size, static_cast<std::size_t>(run) * size},
            view.dtype))
      return false;
  }
  return true;
}

}  // namespace hpdlf
