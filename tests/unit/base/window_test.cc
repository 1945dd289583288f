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

TEST(Windows, ReachAPartOfTheInput) {
  for (const Window& window :
       {Window{.kernel = 3, .stride = 2, .pad_lo = 1}, Window{.kernel = 2, .stride = 3},
        Window{.kernel = 3, .stride = 1, .dilation = 2, .pad_lo = 2}})
    for (std::int64_t lo = 0; lo < 12; ++lo)
      for (std::int64_t hi = lo + 1; hi < 13; ++hi) {
        const auto [first, end] = window.reaching(lo, hi);
        for (std::int64_t i = -6; i < 20; ++i) {
          const bool meets = window.first(i) < hi && window.first(i) + window.reach() >= lo;
          EXPECT_EQ(i >= first && i < end, meets) << i << " of [" << lo << ", " << hi << ")";
        }
      }
}

}  // namespace
}  // namespace hpdlf
