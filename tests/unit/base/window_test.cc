#include "base/window.hpp"

#include <gtest/gtest.h>

namespace hpdlf {
namespace {

using Integers = std::vector<std::int64_t>;

Attrs attrs(const Integers& kernel, const Integers& strides, const Integers& pads,
            const Integers& dilations) {
  return {{"kernel_shape", kernel}, {"strides", strides}, {"pads", pads}, {"dilations", dilations}};
}

TEST(Windows, TakeBeginsBeforeEndsFromPads) {
  const Windows w = windows_from(attrs({3, 5}, {2, 1}, {1, 2, 3, 4}, {1, 2}), 2);

  EXPECT_EQ(w[0].pad_lo, 1);
  EXPECT_EQ(w[1].pad_lo, 2);
  EXPECT_EQ(w[0].pad_hi, 3);
  EXPECT_EQ(w[1].pad_hi, 4);
  EXPECT_EQ(w[0].first(3), 5);
  EXPECT_EQ(w[1].reach(), 8);
}

TEST(Windows, HaveUnitStridesAndNoPadsByDefault) {
  const Windows w = windows_from(attrs({3}, {}, {}, {}), 1);

  EXPECT_EQ(w[0].stride, 1);
  EXPECT_EQ(w[0].dilation, 1);
  EXPECT_EQ(w[0].pad_lo + w[0].pad_hi, 0);
}

TEST(Windows, CountTheirPositions) {
  EXPECT_EQ((Window{.kernel = 3, .stride = 2, .pad_lo = 1, .pad_hi = 1}.outputs(7)), 4);
  EXPECT_EQ((Window{.kernel = 2, .dilation = 3}.outputs(4)), 1);
  EXPECT_EQ((Window{.kernel = 5}.outputs(4)), 0);
}

TEST(Windows, RefuseListsOfAnotherLengthAndZeroSteps) {
  EXPECT_THROW(static_cast<void>(windows_from(attrs({3, 3}, {}, {}, {}), 1)), Error);
  EXPECT_THROW(static_cast<void>(windows_from(attrs({3}, {1, 1}, {}, {}), 1)), Error);
  EXPECT_THROW(static_cast<void>(windows_from(attrs({3}, {}, {1}, {}), 1)), Error);
  EXPECT_THROW(static_cast<void>(windows_from(attrs({3}, {0}, {}, {}), 1)), Error);
  EXPECT_THROW(static_cast<void>(windows_from(attrs({3}, {}, {-1, 0}, {}), 1)), Error);
}

}  // namespace
}  // namespace hpdlf
