#include "base/median.hpp"

#include <gtest/gtest.h>

namespace hpdlf {
namespace {

TEST(Median, IsTheUpperOfTwo) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({100, 90, 1, 2, 3, 4}), 4);
}

TEST(SteadyMedian, IsTheMiddleOfFewValues) {
  EXPECT_EQ(steady_median({}), 0);
  EXPECT_EQ(steady_median({7}), 7);
  EXPECT_EQ(steady_median({9, 1, 5}), 5);
  EXPECT_EQ(steady_median({1, 2, 3, 4}), 3);
}

TEST(SteadyMedian, LeavesTheFirstTwoOfMoreThanFourOut) {
  EXPECT_EQ(steady_median({100, 90, 1, 2, 3}), 2);
}

}  // namespace
}  // namespace hpdlf
