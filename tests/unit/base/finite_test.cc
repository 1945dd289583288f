#include "base/finite.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

namespace hpdlf {
namespace {

template <class T>
bool is_finite(const std::vector<T>& values, DType dtype) {
  return all_finite(std::as_bytes(std::span(values)), dtype);
}

TEST(AllFinite, FindsASingleNanOrInfinityAnywhere) {
  for (const std::size_t n : {1U, 7U, 64U, 1001U})
    for (std::size_t at = 0; at < n; at += 1 + n / 9)
      for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
        std::vector<float> floats(n, std::numeric_limits<float>::max());
        std::vector<double> doubles(n, std::numeric_limits<double>::lowest());
        EXPECT_TRUE(is_finite(floats, DType::f32));
        EXPECT_TRUE(is_finite(doubles, DType::f64));

        floats[at] = static_cast<float>(bad);
        doubles[at] = bad;

        EXPECT_FALSE(is_finite(floats, DType::f32)) << bad << " at " << at << " of " << n;
        EXPECT_FALSE(is_finite(doubles, DType::f64)) << bad << " at " << at << " of " << n;
      }
}

TEST(AllFinite, KnowsHalfTypesAndThatIntegersAre) {
  using Bits = std::vector<std::uint16_t>;
  EXPECT_TRUE(is_finite(Bits{0x7bff, 0x0001, 0xfbff}, DType::f16));
  EXPECT_FALSE(is_finite(Bits{0, 0xfc00}, DType::f16));
  EXPECT_TRUE(is_finite(Bits{0x7f7f, 0x7c00}, DType::bf16));
  EXPECT_FALSE(is_finite(Bits{0x7fc0}, DType::bf16));
  EXPECT_TRUE(is_finite(std::vector<std::int32_t>{-1, 0x7f800000}, DType::i32));
}

TEST(AllFinite, LooksAtTheViewAndNotBesideIt) {
  std::vector<float> values(4 * 5 * 6, 1);
  const TensorView whole = TensorView::dense(values.data(), DType::f32, {4, 5, 6});
  const Box inside{{1, 1, 2}, {3, 4, 5}};
  const TensorView part = whole.slice(inside);
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t j = 0; j < 5; ++j)
      for (std::int64_t k = 0; k < 6; ++k) {
        float& value = values[static_cast<std::size_t>((i * 5 + j) * 6 + k)];
        value = NAN;
        EXPECT_FALSE(all_finite(whole));
        EXPECT_EQ(all_finite(part), !inside.contains(Box{{i, j, k}, {i + 1, j + 1, k + 1}}));
        value = 1;
      }
}

TEST(AllFinite, HoldsForNoElementsAndForScalars) {
  float value = 2;
  EXPECT_TRUE(all_finite(TensorView::dense(&value, DType::f32, {})));
  EXPECT_TRUE(all_finite(TensorView::dense(&value, DType::f32, {3, 0})));
  value = INFINITY;
  EXPECT_FALSE(all_finite(TensorView::dense(&value, DType::f32, {})));
}

}  // namespace
}  // namespace hpdlf
