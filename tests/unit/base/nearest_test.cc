#include "base/nearest.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace hpdlf {
namespace {

const std::vector<std::string> kKnown = {"kernel_shape", "strides", "pads", "dilations"};

TEST(EditDistance, CountsInsertionDeletionReplacementAndSwap) {
  EXPECT_EQ(edit_distance("strides", "strides"), 0);
  EXPECT_EQ(edit_distance("stride", "strides"), 1);
  EXPECT_EQ(edit_distance("strides", "stride"), 1);
  EXPECT_EQ(edit_distance("strixes", "strides"), 1);
  EXPECT_EQ(edit_distance("stirdes", "strides"), 1);
  EXPECT_EQ(edit_distance("", "pads"), 4);
}

TEST(EditDistance, IgnoresCase) { EXPECT_EQ(edit_distance("Pads", "pads"), 0); }

TEST(NearestName, FindsTheMisspeltOne) {
  EXPECT_EQ(nearest_name("stride", kKnown), "strides");
  EXPECT_EQ(nearest_name("dilation", kKnown), "dilations");
}

TEST(NearestName, IsEmptyWhenNothingIsNear) { EXPECT_EQ(nearest_name("momentum", kKnown), ""); }

TEST(DidYouMean, AsksOnlyWhenSomethingIsNear) {
  EXPECT_EQ(did_you_mean("pad", kKnown), "; did you mean `pads`?");
  EXPECT_EQ(did_you_mean("momentum", kKnown), "");
}

}  // namespace
}  // namespace hpdlf
