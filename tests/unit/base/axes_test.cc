#include "base/axes.hpp"

#include <gtest/gtest.h>

namespace hpdlf {
namespace {

using Integers = std::vector<std::int64_t>;

SliceRange range(const Integers& starts, const Integers& ends, const Integers& steps,
                 std::int64_t extent) {
  return slices_from({{"starts", starts}, {"ends", ends}, {"axes", Integers{}}, {"steps", steps}},
                     {extent})[0];
}

/// The elements that a range takes.
Integers elements(const SliceRange& r) {
  Integers list;
  for (std::int64_t i = 0; i < r.count; ++i) list.push_back(r.start + i * r.step);
  return list;
}

TEST(NormalizedAxis, CountsNegativeAxesFromTheBack) {
  EXPECT_EQ(normalized_axis(2, 3), 2);
  EXPECT_EQ(normalized_axis(-3, 3), 0);
  EXPECT_THROW(static_cast<void>(normalized_axis(3, 3)), Error);
  EXPECT_THROW(static_cast<void>(normalized_axis(-4, 3)), Error);
}

TEST(AxisSet, IsEveryAxisForAnEmptyList) {
  const AxisSet all = axis_set({}, 2);
  const AxisSet one = axis_set({-1}, 2);

  EXPECT_TRUE(all[0] && all[1]);
  EXPECT_TRUE(!one[0] && one[1]);
  EXPECT_THROW(static_cast<void>(axis_set({1, -1}, 2)), Error);
}

TEST(SlicesFrom, TakesWhatNumpyTakes) {
  EXPECT_EQ(elements(range({1}, {4}, {}, 6)), (Integers{1, 2, 3}));
  EXPECT_EQ(elements(range({-3}, {100}, {}, 6)), (Integers{3, 4, 5}));
  EXPECT_EQ(elements(range({-100}, {2}, {}, 6)), (Integers{0, 1}));
  EXPECT_EQ(elements(range({0}, {6}, {4}, 6)), (Integers{0, 4}));
  EXPECT_EQ(elements(range({4}, {1}, {-1}, 6)), (Integers{4, 3, 2}));
  EXPECT_EQ(elements(range({100}, {-100}, {-2}, 6)), (Integers{5, 3, 1}));
  EXPECT_EQ(elements(range({-100}, {-100}, {-1}, 6)), (Integers{0}));
  EXPECT_EQ(elements(range({3}, {3}, {}, 6)), Integers{});
  EXPECT_EQ(elements(range({4}, {1}, {}, 6)), Integers{});
}

TEST(SlicesFrom, LeavesOtherAxesWhole) {
  const auto ranges = slices_from({{"starts", Integers{1}},
                                   {"ends", Integers{2}},
                                   {"axes", Integers{-1}},
                                   {"steps", Integers{}}},
                                  {4, 5});

  EXPECT_TRUE(ranges[0].is_whole(4));
  EXPECT_FALSE(ranges[1].is_whole(5));
}

TEST(SlicesFrom, RefusesListsThatDoNotMatch) {
  EXPECT_THROW(range({1}, {2, 3}, {}, 6), Error);
  EXPECT_THROW(range({1, 2}, {2, 3}, {}, 6), Error);
  EXPECT_THROW(range({1}, {2}, {0}, 6), Error);
}

}  // namespace
}  // namespace hpdlf
