// Elements of untyped memory. One by one as double they are for tests and messages: kernels are typed and vectorised instead.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <type_traits>

#include "base/dtype.hpp"
#include "base/error.hpp"

namespace hpdlf {

/// visit(T{}) with the C++ type of `dtype`. @throws Error for f16, which has no arithmetic here.
template <class Visit>
decltype(auto) with_type(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::f32:
      return visit(float{});
    case DType::f64:
      return visit(double{});
    case DType::bf16:
      return visit(bfloat16{});
    case DType::i8:
      return visit(std::int8_t{});
    case DType::u8:
      return visit(std::uint8_t{});
    case DType::i16:
      return visit(std::int16_t{});
    case DType::u16:
      return visit(std::uint16_t{});
    case DType::i32:
      return visit(std::int32_t{});
    case DType::u32:
      return visit(std::uint32_t{});
    case DType::i64:
      return visit(std::int64_t{});
    case DType::u64:
      return visit(std::uint64_t{});
    case DType::boolean:
      return visit(bool{});
    case DType::f16:
      break;
  }
  throw Error(fmt::format("elements of type {} cannot be read or written", name_of(dtype)));
}

/// `value` as an element: to nearest for floats, towards zero for integers (it must fit).
template <class T>
[[nodiscard]] T rounded(double value) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return T(static_cast<float>(value));
  else
    return static_cast<T>(value);
}

/// Element `i` of a dense array. @throws Error for f16, which has no arithmetic here.
[[nodiscard]] double load_element(const void* data, DType dtype, std::int64_t i);
/// Stores what rounded() makes of `value`.
void store_element(void* data, DType dtype, std::int64_t i, double value);

}  // namespace hpdlf
