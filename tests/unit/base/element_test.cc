#include "base/element.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace hpdlf {
namespace {

TEST(Element, ComesBackAsStoredInEveryType) {
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::i8, DType::u8, DType::i16,
                            DType::u16, DType::i32, DType::u32, DType::i64, DType::u64}) {
    std::byte storage[24] = {};

    store_element(storage, dtype, 2, 96);

    EXPECT_EQ(load_element(storage, dtype, 2), 96) << name_of(dtype);
    EXPECT_EQ(load_element(storage, dtype, 1), 0) << name_of(dtype);
  }
}

TEST(Element, IsRoundedToNearestInBfloat16) {
  std::byte storage[2];

  store_element(storage, DType::bf16, 0, 1.0 + 0x1p-8 + 0x1p-12);

  EXPECT_EQ(load_element(storage, DType::bf16, 0), 1.0 + 0x1p-7);
}

TEST(Element, OfHalfPrecisionIsAnError) {
  std::byte storage[2];

  EXPECT_THROW(store_element(storage, DType::f16, 0, 1), Error);
}

}  // namespace
}  // namespace hpdlf
