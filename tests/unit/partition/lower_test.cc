// What lowering makes of small graphs: how many movements, which tiles, what is shared. (split_results_test.cc: that it is right.)
#include "partition/lower.hpp"

#include <algorithm>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

#include "graph/autodiff.hpp"
#include "graph/builder.hpp"
#include "partition/planner.hpp"
#include "small_nets.hpp"

namespace hpdlf::partition {
namespace {

using graph::Builder;
using graph::Graph;
using graph::ValueId;

Builder::ConvOptions conv3(std::int64_t channels, std::int64_t kernel = 3) {
  return {.out_channels = channels, .kernel = {kernel}, .pads = {kernel / 2}, .bias = false};
}

/// `layers` 1-D convolutions of `kernel` taps on [1, extent, 2].
std::shared_ptr<Graph> conv_chain(std::int64_t extent, int layers, std::int64_t kernel = 3) {
  auto g = std::make_shared<Graph>("chain");
  Builder b(*g);
  ValueId y = g->add_input("x", {DType::f32, {1, extent, 2}});
  for (int i = 0; i < layers; ++i) y = b.conv("conv" + std::to_string(i), y, conv3(2, kernel));
  g->fetch("y", y);
  return g;
}

TaskGraph lowered(const std::shared_ptr<const Graph>& graph, const std::string& strategy,
                  int ranks = 1, int workers = 2) {
  Machine machine;
  machine.ranks = ranks;
  machine.workers = workers;
  TaskGraph tasks = lower(graph, make_plan(graph, CostModel(machine), {.strategy = strategy}));
  verify(tasks);
  return tasks;
}

std::vector<Task> tasks_of(const TaskGraph& graph, std::string_view op) {
  std::vector<Task> found;
  std::copy_if(graph.tasks.begin(), graph.tasks.end(), std::back_inserter(found),
               [&](const Task& t) { return t.op == op; });
  return found;
}

TEST(Lower, OfAWholePlanMovesNothing) {
  const TaskGraph g = lowered(conv_chain(16, 3), "whole");

  EXPECT_EQ(g.tasks.size(), 1U + 3U + 1U);  // feed, convs, fetch
}

/// Regions that Copies read, and write in the same order.
std::vector<Box> copied_parts(const TaskGraph& g) {
  std::vector<Box> parts;
  for (const Task& copy : tasks_of(g, "Copy"))
    for (int i = 0; i < copy.inputs; ++i) {
      parts.push_back(copy.access[static_cast<std::size_t>(i)].view);
      EXPECT_EQ(copy.access[static_cast<std::size_t>(copy.inputs + i)].view, parts.back());
    }
  return parts;
}

TEST(Lower, FeedsInputsWithTheirMargin) {
  const TaskGraph g = lowered(conv_chain(16, 1), "t:4");

  EXPECT_TRUE(tasks_of(g, "Copy").empty());
  const auto feeds = tasks_of(g, "Feed");
  ASSERT_EQ(feeds.size(), 4U);
  EXPECT_EQ(feeds[1].access[0].view, (Box{{0, 3, 0}, {1, 9, 2}}));
}

TEST(Lower, CopiesOnlyTheMarginBetweenNeighbours) {
  const TaskGraph g = lowered(conv_chain(16, 2), "t:4");

  EXPECT_EQ(tasks_of(g, "Copy").size(), 4U);
  const auto parts = copied_parts(g);
  ASSERT_EQ(parts.size(), 6U);  // two neighbours of each inner tile, one of each outer
  for (const Box& part : parts) EXPECT_EQ(part.extents(), (Extents{1, 1, 2}));
  const Tile& second = g.tile(tasks_of(g, "Conv")[5].access[0].tile);
  EXPECT_EQ(second.box, (Box{{0, 4, 0}, {1, 8, 2}}));
  EXPECT_EQ(second.storage, (Box{{0, 3, 0}, {1, 9, 2}}));
}

TEST(Lower, GathersMarginsWiderThanATileFromSeveral) {
  const TaskGraph g = lowered(conv_chain(16, 2, 9), "t:8");  // margins of 4, tiles of 2

  EXPECT_GT(copied_parts(g).size(), 2U * 7U);
}

TEST(Lower, SendsAMarginAsAStrip) {
  const TaskGraph g = lowered(conv_chain(16, 2), "t:2", 2, 1);

  const auto transfers = tasks_of(g, "Transfer");
  const auto margin = std::count_if(transfers.begin(), transfers.end(), [](const Task& t) {
    return t.access[0].view.extents() == Extents{1, 1, 2};
  });
  EXPECT_EQ(margin, 2);
}

TEST(Lower, SendsAParameterOnceToEachRankThatReadsIt) {
  const TaskGraph g = lowered(conv_chain(16, 1), "t:4", 2, 2);

  const auto weight = g.graph->find("conv0.weight");
  const auto transfers = tasks_of(g, "Transfer");
  EXPECT_EQ(std::count_if(transfers.begin(), transfers.end(),
                          [&](const Task& t) { return g.tile(t.access[0].tile).value == weight; }),
            1);
  EXPECT_EQ(g.home_tiles[static_cast<std::size_t>(weight)].size(), 1U);
}

TEST(Lower, CopiesParametersNotBeforeTheirReaderCanStart) {
  const TaskGraph g = lowered(test::small_mlp(5), "channel");

  std::size_t found = 0;
  for (const Task& copy : tasks_of(g, "Copy")) {
    if (!g.tile(copy.access[0].tile).is_persistent()) continue;
    ++found;
    ASSERT_GE(copy.after, 0) << g.describe(copy);
    const auto& awaited = g.graph->value(g.tile(copy.after).value);
    EXPECT_EQ(g.graph->node(awaited.producer).phase, graph::Phase::backward) << g.describe(copy);
  }
  EXPECT_GT(found, 0U);
}

TEST(Lower, MakesAFetchedValueAvailableOnEveryRank) {
  const TaskGraph g = lowered(conv_chain(16, 1), "t:4", 2, 2);

  for (const int rank : {0, 1}) {
    std::int64_t elements = 0;
    for (const Task& fetch : tasks_of(g, "Fetch"))
      if (fetch.rank == rank) elements += fetch.access[0].view.elements();
    EXPECT_EQ(elements, 16 * 2);
  }
}

/// y = relu(conv(x)), its gradient by w, and w - lr * gradient.
std::shared_ptr<Graph> trained_conv() {
  auto g = std::make_shared<Graph>("trained_conv");
  Builder b(*g);
  const ValueId y =
      b.relu("relu", b.conv("conv", g->add_input("x", {DType::f32, {1, 16, 2}}), conv3(2)));
  const ValueId loss = b.op("loss", "ReduceSum", {y}, {{"keepdims", std::int64_t{0}}});
  const auto gradients = graph::differentiate(*g, loss);
  const ValueId buffer = g->add_state("buffer", g->value(gradients.at(0).parameter).type, {});
  const ValueId rate = g->add_input("lr", {DType::f32, {}});
  const auto step = g->add_node(
      "SGD", {gradients.at(0).parameter, gradients.at(0).gradient, buffer, rate}, {}, "step");
  g->node(step).phase = graph::Phase::update;
  g->update(gradients.at(0).parameter, g->output(step, 0));
  g->update(buffer, g->output(step, 1));
  return g;
}

TEST(Lower, UpdatesParametersInTheirHomeTiles) {
  const TaskGraph g = lowered(trained_conv(), "t:4");

  const auto steps = tasks_of(g, "SGD");
  ASSERT_EQ(steps.size(), 1U);
  const TileId home = g.home_tiles[static_cast<std::size_t>(g.graph->find("conv.weight"))].at(0);
  EXPECT_EQ(steps[0].access[0].tile, home);
  EXPECT_EQ(steps[0].access[4].tile, home);
  EXPECT_EQ(steps[0].access[4].mode, Access::Mode::read_write);
}

TEST(Lower, AddsPartialWeightGradientsInAsManyChainsAsThereAreWorkers) {
  const TaskGraph g = lowered(trained_conv(), "t:4", 1, 2);

  const auto gradients = tasks_of(g, "ConvGradWeight");
  ASSERT_EQ(gradients.size(), 4U);
  EXPECT_EQ(
      std::count_if(gradients.begin(), gradients.end(), [](const Task& t) { return t.accumulate; }),
      2);
  const auto sums = tasks_of(g, "Sum");
  const auto weight_sums = std::count_if(sums.begin(), sums.end(), [&](const Task& t) {
    return g.tile(t.access[0].tile).box.rank() == 3;
  });
  EXPECT_EQ(weight_sums, 1);
}

TEST(Lower, SumsPartialsWhereTheOptimizerRuns) {
  const TaskGraph g = lowered(trained_conv(), "t:4", 4, 1);

  const int owner = tasks_of(g, "SGD").at(0).rank;
  for (const Task& sum : tasks_of(g, "Sum")) {
    const bool is_of_weight = g.tile(sum.access[0].tile).box.rank() == 3;
    EXPECT_TRUE(!is_of_weight || sum.rank == owner);
  }
}

TEST(Lower, WritesElementwiseResultsInPlaceOfASpentInput) {
  auto g = std::make_shared<Graph>("elementwise");
  Builder b(*g);
  const ValueId y = b.conv("conv", g->add_input("x", {DType::f32, {1, 16, 2}}), conv3(2));
  g->fetch("y", b.relu("relu", y));

  const TaskGraph tasks = lowered(g, "t:2");

  for (const Task& relu : tasks_of(tasks, "Relu"))
    EXPECT_EQ(relu.access[0].tile, relu.access[1].tile);
}

TEST(Lower, KeepsAnInputThatIsReadAgain) {
  auto g = std::make_shared<Graph>("read_again");
  Builder b(*g);
  const ValueId y = b.conv("conv", g->add_input("x", {DType::f32, {1, 16, 2}}), conv3(2));
  g->fetch("z", b.op("sum", "Add", {b.relu("relu", y), y}));

  const TaskGraph tasks = lowered(g, "t:2");

  for (const Task& relu : tasks_of(tasks, "Relu"))
    EXPECT_NE(relu.access[0].tile, relu.access[1].tile);
}

TEST(Lower, OfAPlanThatCutsAWholeFactorNamesNodeAndFactor) {
  const auto graph = conv_chain(16, 1);
  Plan plan = make_plan(graph, CostModel(Machine{}), {.strategy = "whole"});
  const auto rule = graph::tiling_rule(graph::call_of(*graph, graph->node(0)));
  plan.nodes[0].parts.assign(rule.factors.size(), 1);
  plan.nodes[0].parts[static_cast<std::size_t>(rule.find('r'))] = 3;
  plan.nodes[0].owners.assign(3, 0);

  try {
    (void)lower(graph, plan);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr(
                    "cuts factor r of node \"conv0\" (Conv) into 3 parts, but it must stay whole"));
  }
}

TEST(Lower, OfAPlanWithMorePartsThanIndicesIsAnError) {
  const auto graph = conv_chain(4, 1);
  Plan plan = make_plan(graph, CostModel(Machine{}), {.strategy = "whole"});
  const auto rule = graph::tiling_rule(graph::call_of(*graph, graph->node(0)));
  plan.nodes[0].parts[static_cast<std::size_t>(rule.find('t'))] = 5;
  plan.nodes[0].owners.assign(5, 0);

  EXPECT_THROW((void)lower(graph, plan), Error);
}

TEST(Lower, OfTwoConvsOnTwoRanksIsAsInTheGoldenFile) {
  const std::string path = std::string(HPDLF_SOURCE_DIR) + "/tests/golden/lower_two_convs.txt";
  const std::string text = print(lowered(conv_chain(8, 2), "t:4", 2, 2));
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ostringstream expected;
  expected << std::ifstream(path).rdbuf();

  EXPECT_EQ(text, expected.str()) << "UPDATE_GOLDEN=1 rewrites the file";
}

}  // namespace
}  // namespace hpdlf::partition
