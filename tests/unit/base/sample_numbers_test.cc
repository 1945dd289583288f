#include "base/sample_numbers.hpp"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <set>
#include <vector>

#include "base/element.hpp"

namespace hpdlf {
namespace {

template <class T>
std::vector<T> filled(std::size_t count) {
  std::vector<T> numbers(count);
  fill_sample_numbers(std::as_writable_bytes(std::span(numbers)));
  return numbers;
}

template <class T>
class SampleNumbers : public testing::Test {};
using Types = testing::Types<float, double, bfloat16>;
TYPED_TEST_SUITE(SampleNumbers, Types);

TYPED_TEST(SampleNumbers, AreMixedAndNormal) {
  constexpr std::size_t kCount = 1001;  // of bf16 half a word at the end
  std::set<double> seen;
  std::size_t negative = 0;
  for (const TypeParam number : filled<TypeParam>(kCount)) {
    const auto value = static_cast<double>(static_cast<float>(number));
    ASSERT_GE(std::abs(value), std::ldexp(1, -64));
    ASSERT_LT(std::abs(value), 2);
    negative += value < 0 ? 1 : 0;
    seen.insert(value);
  }
  EXPECT_GT(seen.size(), kCount / 2);
  EXPECT_GT(negative, kCount / 3);
  EXPECT_LT(negative, 2 * kCount / 3);
}

}  // namespace
}  // namespace hpdlf
