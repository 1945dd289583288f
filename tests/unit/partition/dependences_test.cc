#include "partition/dependences.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "task_graph_fixture.hpp"

namespace hpdlf::partition {
namespace {

std::vector<TaskId> successors(const Dependences& d, std::size_t task) {
  const auto span = d.successors(task);
  return {span.begin(), span.end()};
}

TEST(Dependences, LetReadersRunTogetherBetweenTwoWriters) {
  test::TaskGraphFixture f;
  const TileId a = f.tile(), b = f.tile(), c = f.tile();
  f.feed(a);     // 0
  f.copy(a, b);  // 1
  f.copy(a, c);  // 2
  f.feed(a);     // 3

  const Dependences d(f.finish());

  EXPECT_THAT(successors(d, 0), testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(successors(d, 1), testing::ElementsAre(3));
  EXPECT_THAT(successors(d, 2), testing::ElementsAre(3));
  EXPECT_EQ(d.predecessors(3), 3);
}

TEST(Dependences, CountATileThatATaskUsesTwiceOnce) {
  test::TaskGraphFixture f;
  const TileId a = f.tile();
  f.feed(a);
  f.copy(a, a);

  const Dependences d(f.finish());

  EXPECT_EQ(d.predecessors(1), 1);
  EXPECT_THAT(successors(d, 1), testing::IsEmpty());
}

TEST(Dependences, LetATaskWaitForATileItDoesNotUse) {
  test::TaskGraphFixture f;
  const TileId a = f.tile(), b = f.tile();
  f.feed(a);            // 0
  f.feed(b).after = a;  // 1
  f.feed(a);            // 2: not before 1 has waited

  const Dependences d(f.finish());

  EXPECT_THAT(successors(d, 0), testing::ElementsAre(1, 2));
  EXPECT_THAT(successors(d, 1), testing::ElementsAre(2));
}

}  // namespace
}  // namespace hpdlf::partition
