#include "partition/region_set.hpp"

#include <gtest/gtest.h>

namespace hpdlf::partition {
namespace {

std::int64_t elements(const std::vector<Box>& boxes) {
  std::int64_t n = 0;
  for (const Box& b : boxes) n += b.elements();
  return n;
}

TEST(Subtract, LeavesTheShellAroundAHole) {
  const auto rest = subtract({{0, 0, 0}, {4, 4, 4}}, {{1, 1, 1}, {3, 3, 3}});

  EXPECT_EQ(elements(rest), 64 - 8);
  for (std::size_t i = 0; i < rest.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) EXPECT_TRUE(intersect(rest[i], rest[j]).is_empty());
}

TEST(Subtract, LeavesNothingOfWhatIsCovered) {
  EXPECT_TRUE(subtract({{1}, {3}}, {{0}, {5}}).empty());
}

TEST(Subtract, LeavesAllWhereTheyDoNotMeet) {
  const Box box{{0, 0}, {2, 2}};

  EXPECT_EQ(subtract(box, {{2, 0}, {4, 2}}), std::vector<Box>{box});
}

TEST(Subtract, TakesAScalarAway) { EXPECT_TRUE(subtract(Box{}, Box{}).empty()); }

TEST(RegionSet, CoversAUnionOfOverlappingBoxes) {
  RegionSet set;
  set.add({{0, 0}, {3, 4}});
  set.add({{2, 0}, {5, 4}});

  EXPECT_TRUE(set.covers({{1, 1}, {5, 3}}));
  EXPECT_FALSE(set.covers({{1, 1}, {6, 3}}));
}

TEST(RegionSet, ForgetsWhatIsRemoved) {
  RegionSet set;
  set.add({{0}, {10}});
  set.remove({{4}, {6}});

  EXPECT_TRUE(set.covers({{0}, {4}}));
  EXPECT_FALSE(set.meets({{4}, {6}}));
  EXPECT_FALSE(set.covers({{3}, {5}}));
}

}  // namespace
}  // namespace hpdlf::partition
