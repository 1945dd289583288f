// The checker must notice each way a task graph can be wrong: a sound one is broken in one place at a time.
#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "small_nets.hpp"

namespace hpdlf::partition {
namespace {

TaskGraph sound_graph(int ranks = 1) {
  const auto graph = test::small_unet(2, 8);
  Machine machine;
  machine.ranks = ranks;
  machine.workers = 2;
  return lower(graph, make_plan(graph, CostModel(machine), {.strategy = "d:4"}));
}

std::size_t find_task(const TaskGraph& graph, std::string_view op, std::size_t from = 0) {
  const auto found = std::find_if(graph.tasks.begin() + static_cast<std::ptrdiff_t>(from),
                                  graph.tasks.end(), [&](const Task& t) { return t.op == op; });
  EXPECT_NE(found, graph.tasks.end()) << op;
  return static_cast<std::size_t>(found - graph.tasks.begin());
}

void erase_task(TaskGraph& graph, std::size_t task) {
  graph.tasks.erase(graph.tasks.begin() + static_cast<std::ptrdiff_t>(task));
  auto released = graph.released_after[task];
  graph.released_after.erase(graph.released_after.begin() + static_cast<std::ptrdiff_t>(task));
  auto& next = graph.released_after[task];
  next.insert(next.end(), released.begin(), released.end());
}

void expect_fails(const TaskGraph& graph, const std::string& message) {
  try {
    verify(graph);
    ADD_FAILURE() << "not noticed: " << message;
  } catch (const InternalError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(message));
  }
}

TEST(Verify, AcceptsWhatLoweringMakes) {
  EXPECT_NO_THROW(verify(sound_graph()));
  EXPECT_NO_THROW(verify(sound_graph(2)));
}

TEST(Verify, NoticesAMissingHaloCopy) {
  TaskGraph g = sound_graph();
  erase_task(g, find_task(g, "Copy"));

  expect_fails(g, "does not hold it");
}

TEST(Verify, NoticesAMissingFeed) {
  TaskGraph g = sound_graph();
  erase_task(g, find_task(g, "Feed"));

  expect_fails(g, "does not hold it");
}

TEST(Verify, NoticesAReaderBeforeItsWriter) {
  TaskGraph g = sound_graph();
  const std::size_t conv = find_task(g, "Conv");
  std::swap(g.tasks[conv], g.tasks[find_task(g, "Moments")]);

  expect_fails(g, "does not hold it");
}

TEST(Verify, NoticesAMissingTransfer) {
  TaskGraph g = sound_graph(2);
  erase_task(g, find_task(g, "Transfer"));

  expect_fails(g, "verifying task");
}

TEST(Verify, NoticesATileOfAnotherRank) {
  TaskGraph g = sound_graph(2);
  g.tasks[find_task(g, "Conv")].rank = 1;

  expect_fails(g, "lies on rank 0, used on rank 1");
}

TEST(Verify, NoticesARegionOutsideTheStorage) {
  TaskGraph g = sound_graph();
  ++g.tasks[find_task(g, "Conv")].access[0].view.hi[0];

  expect_fails(g, "is not inside tile");
}

TEST(Verify, NoticesAnEarlyRelease) {
  TaskGraph g = sound_graph();
  const std::size_t conv = find_task(g, "Conv");
  for (auto& released : g.released_after) std::erase(released, g.tasks[conv].access[0].tile);
  g.released_after[conv].push_back(g.tasks[conv].access[0].tile);

  expect_fails(g, "is used after its release");
}

TEST(Verify, NoticesAWaitForATileThatIsGone) {
  TaskGraph graph = sound_graph();
  const auto release = std::find_if(graph.released_after.begin(), graph.released_after.end(),
                                    [](const auto& tiles) { return !tiles.empty(); });
  ASSERT_NE(release, graph.released_after.end());

  graph.tasks.back().after = release->front();

  expect_fails(graph, "is awaited, but it is on another rank, not written or released");
}

TEST(Verify, NoticesATileThatIsNeverReleased) {
  TaskGraph g = sound_graph();
  const TileId tile = g.tasks[find_task(g, "Conv")].access[0].tile;
  for (auto& released : g.released_after) std::erase(released, tile);

  expect_fails(g, "is never released");
}

TEST(Verify, NoticesAResultWrittenTwice) {
  TaskGraph g = sound_graph();
  const std::size_t conv = find_task(g, "Conv");
  Task again = g.tasks[conv];
  again.access.back().mode = Access::Mode::read_write;
  g.tasks.insert(g.tasks.begin() + static_cast<std::ptrdiff_t>(conv) + 1, again);
  g.released_after.insert(g.released_after.begin() + static_cast<std::ptrdiff_t>(conv),
                          std::vector<TileId>{});

  expect_fails(g, "overwritten before it was read");
}

TEST(Verify, NoticesAnAccumulationOnNothing) {
  TaskGraph g = sound_graph();
  g.tasks[find_task(g, "Conv")].accumulate = true;

  expect_fails(g, "added to but holds nothing");
}

TEST(Verify, NoticesAHomeThatDoesNotCoverItsParameter) {
  TaskGraph g = sound_graph();
  const auto parameter = g.graph->find("conv0.weight");
  g.home_tiles[static_cast<std::size_t>(parameter)].clear();

  expect_fails(g, "do not cover it");
}

}  // namespace
}  // namespace hpdlf::partition
