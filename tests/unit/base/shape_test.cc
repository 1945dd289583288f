#include "base/shape.hpp"

#include <gtest/gtest.h>

namespace hpdlf {
namespace {

TEST(Extents, ScalarHasOneElement) {
  EXPECT_EQ(Extents{}.rank(), 0);
  EXPECT_EQ(Extents{}.elements(), 1);
}

TEST(Extents, EmptyDimensionMeansNoElements) { EXPECT_EQ((Extents{3, 0, 5}.elements()), 0); }

TEST(Extents, RejectsMoreDimensionsThanTheyHold) {
  Extents extents = Extents::filled(kMaxRank, 1);

  EXPECT_THROW(extents.push_back(1), Error);
}

TEST(Extents, PrintInBrackets) { EXPECT_EQ(to_string(Extents{1, 48, 16}), "[1,48,16]"); }

TEST(DenseStrides, AreRowMajor) { EXPECT_EQ(dense_strides({2, 3, 5}), (Extents{15, 5, 1})); }

TEST(Box, WholeContainsItselfAndNothingLarger) {
  const Box whole = Box::whole({4, 6});

  EXPECT_TRUE(whole.contains(whole));
  EXPECT_FALSE(whole.contains(Box{{0, 0}, {4, 7}}));
  EXPECT_FALSE(whole.contains(Box{{-1, 0}, {4, 6}}));
}

TEST(Box, IntersectionOfDisjointBoxesIsEmpty) {
  const Box common = intersect({{0, 0}, {2, 4}}, {{3, 0}, {5, 4}});

  EXPECT_TRUE(common.is_empty());
  EXPECT_EQ(common.elements(), 0);
}

TEST(Box, IntersectionKeepsWhatBothHold) {
  EXPECT_EQ(intersect({{0, 1}, {4, 5}}, {{2, 0}, {9, 3}}), (Box{{2, 1}, {4, 3}}));
}

TEST(Box, HullHoldsBoth) {
  EXPECT_EQ(hull({{0, 3}, {2, 4}}, {{1, 0}, {5, 1}}), (Box{{0, 0}, {5, 4}}));
}

TEST(Box, DifferentRanksAreAnInternalError) {
  EXPECT_THROW((void)intersect(Box::whole({2}), Box::whole({2, 2})), InternalError);
}

TEST(Cut, CoversTheExtentWithPartsThatDifferByAtMostOne) {
  for (const std::int64_t extent : {1, 7, 12, 13}) {
    for (std::int64_t parts = 1; parts <= extent; ++parts) {
      EXPECT_EQ(cut(extent, parts, 0), 0);
      EXPECT_EQ(cut(extent, parts, parts), extent);
      for (std::int64_t i = 0; i < parts; ++i) {
        const std::int64_t size = cut(extent, parts, i + 1) - cut(extent, parts, i);
        EXPECT_GE(size, extent / parts);
        EXPECT_LE(size, extent / parts + 1);
      }
    }
  }
}

}  // namespace
}  // namespace hpdlf
