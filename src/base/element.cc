#include "base/element.hpp"

#include <type_traits>

#include "base/error.hpp"

namespace hpdlf {
namespace {

template <class T>
struct TypeTag {
  using type = T;
};

/// Calls `visit` with the C++ type of `dtype` in a tag.
template <class Visit>
decltype(auto) with_type(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::f32:
      return visit(TypeTag<float>{});
    case DType::f64:
      return visit(TypeTag<double>{});
    case DType::bf16:
      return visit(TypeTag<bfloat16>{});
    case DType::i8:
      return visit(TypeTag<std::int8_t>{});
    case DType::u8:
      return visit(TypeTag<std::uint8_t>{});
    case DType::i16:
      return visit(TypeTag<std::int16_t>{});
    case DType::u16:
      return visit(TypeTag<std::uint16_t>{});
    case DType::i32:
      return visit(TypeTag<std::int32_t>{});
    case DType::u32:
      return visit(TypeTag<std::uint32_t>{});
    case DType::i64:
      return visit(TypeTag<std::int64_t>{});
    case DType::u64:
      return visit(TypeTag<std::uint64_t>{});
    case DType::boolean:
      return visit(TypeTag<bool>{});
    case DType::f16:
      break;
  }
  throw Error(
      fmt::format("elements of type {} cannot be read or written one by one", name_of(dtype)));
}

}  // namespace

double load_element(const void* data, DType dtype, std::int64_t i) {
  return with_type(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T value = static_cast<const T*>(data)[i];
    if constexpr (std::is_same_v<T, bfloat16>)
      return static_cast<double>(static_cast<float>(value));
    else
      return static_cast<double>(value);
  });
}

void store_element(void* data, DType dtype, std::int64_t i, double value) {
  with_type(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, bfloat16>)
      static_cast<T*>(data)[i] = T(static_cast<float>(value));
    else
      static_cast<T*>(data)[i] = static_cast<T>(value);
  });
}

}  // namespace hpdlf
