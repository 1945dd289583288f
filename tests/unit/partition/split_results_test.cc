// Any plan gives the results of the whole graph: losses, fetched values, parameters and state after some steps.
#include <cmath>
#include <gtest/gtest.h>

#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "small_nets.hpp"
#include "support/task_oracle.hpp"

namespace hpdlf::test {
namespace {

constexpr int kSteps = 2;
constexpr double kTolerance = 1e-5;

partition::TaskGraph lowered(const std::shared_ptr<const graph::Graph>& graph,
                             const std::string& strategy, int ranks, int workers) {
  partition::Machine machine;
  machine.ranks = ranks;
  machine.workers = workers;
  return partition::lower(
      graph, partition::make_plan(graph, partition::CostModel(machine), {.strategy = strategy}));
}

double largest_magnitude(std::span<const float> values) {
  double largest = 0;
  for (const float v : values) largest = std::max(largest, std::fabs(static_cast<double>(v)));
  return largest;
}

/// Relative to the largest element; NaN never passes.
void expect_near(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.type, expected.type) << what;
  if (expected.type.dtype == DType::f64) {
    for (std::size_t i = 0; i < expected.as<double>().size(); ++i)
      ASSERT_NEAR(actual.as<double>()[i], expected.as<double>()[i],
                  kTolerance * (1 + std::fabs(expected.as<double>()[i])))
          << what;
    return;
  }
  const double scale = largest_magnitude(expected.as<float>()) + 1e-3;
  for (std::size_t i = 0; i < expected.as<float>().size(); ++i)
    ASSERT_NEAR(actual.as<float>()[i], expected.as<float>()[i], kTolerance * scale)
        << what << ", element " << i;
}

void expect_results_of_whole(const std::shared_ptr<const graph::Graph>& graph,
                             const std::string& strategy, int ranks, int workers) {
  SCOPED_TRACE(graph->name() + ", strategy " + strategy + ", " + std::to_string(ranks) +
               " ranks, " + std::to_string(workers) + " workers");
  const partition::TaskGraph tasks = lowered(graph, strategy, ranks, workers);
  partition::verify(tasks);
  TaskOracle tiled(tasks, 7);
  Oracle whole(*graph, 7);
  for (int step = 0; step < kSteps; ++step) {
    const auto inputs = random_inputs(*graph, static_cast<std::uint64_t>(100 + step));
    whole.step(inputs);
    tiled.step(inputs);
    for (const auto& [name, value] : graph->fetches())
      for (int rank = 0; rank < ranks; ++rank)
        expect_near(tiled.fetched(name, rank), whole.fetched(name),
                    name + " of step " + std::to_string(step));
  }
  for (const auto& [state, content] : graph->updates())
    expect_near(tiled.read(state), whole.value(state), graph->value(state).name);
}

struct Split {
  const char* strategy;
  int ranks, workers;
};

class SplitResults : public testing::TestWithParam<Split> {};

TEST_P(SplitResults, EqualTheWholeUNet) {
  const auto [strategy, ranks, workers] = GetParam();

  expect_results_of_whole(small_unet(2, 8), strategy, ranks, workers);
}

TEST_P(SplitResults, EqualTheWholeUNetOfOddDepth) {
  const auto [strategy, ranks, workers] = GetParam();

  expect_results_of_whole(small_unet(1, 10), strategy, ranks, workers);
}

std::string name_of(const testing::TestParamInfo<Split>& info) {
  std::string name = info.param.strategy;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name + "_ranks" + std::to_string(info.param.ranks) + "_workers" +
         std::to_string(info.param.workers);
}

INSTANTIATE_TEST_SUITE_P(
    Strategies, SplitResults,
    testing::Values(Split{"whole", 1, 1}, Split{"whole", 2, 1}, Split{"whole", 4, 2},
                    Split{"d:2", 1, 2}, Split{"d:2", 2, 1}, Split{"d:2", 4, 1}, Split{"d:4", 1, 2},
                    Split{"d:4", 2, 2}, Split{"d:4", 4, 1}, Split{"d:8", 1, 3}, Split{"d:8", 2, 2},
                    Split{"d:2 h:2", 1, 2}, Split{"d:2 h:2", 2, 2}, Split{"d:2 h:2", 4, 1},
                    Split{"d:3 h:2 w:2", 2, 3}, Split{"k:2", 1, 2}, Split{"k:2", 2, 1},
                    Split{"c:2", 1, 2}, Split{"c:2", 2, 2}, Split{"k:2 c:2", 4, 1},
                    Split{"channel", 1, 2}, Split{"channel", 2, 2}, Split{"tensor", 2, 2},
                    Split{"n:2", 1, 2}, Split{"n:2", 2, 1}, Split{"n:2 d:2", 2, 2},
                    Split{"n:2 d:2 k:2", 4, 2}, Split{"d:2 c:2 k:2", 2, 2}, Split{"sample", 2, 1},
                    Split{"space", 2, 2}, Split{"auto", 1, 2}, Split{"auto", 2, 2},
                    Split{"auto", 4, 1}),
    name_of);

TEST(SplitResults, EqualTheWholeClassifier) {
  for (const char* strategy :
       {"whole", "n:2", "h:4", "h:8", "h:2 w:2", "channel", "tensor", "k:2", "c:2", "auto"})
    for (const int ranks : {1, 2, 4})
      expect_results_of_whole(small_classifier(3), strategy, ranks, 2);
}

TEST(SplitResults, EqualTheWholeMlp) {
  for (const char* strategy : {"whole", "sample", "n:3", "k:2", "channel", "tensor", "auto"})
    for (const int ranks : {1, 2, 4}) expect_results_of_whole(small_mlp(5), strategy, ranks, 2);
}

TEST(SplitResults, EqualTheWholeTransformer) {
  for (const char* strategy :
       {"whole", "n:3", "t:2", "n:2 t:5", "k:4", "channel", "tensor", "auto"})
    for (const int ranks : {1, 2, 4})
      expect_results_of_whole(small_transformer(3, 5), strategy, ranks, 2);
}

TEST(SplitResults, EqualWholeWinogradConvolutions) {
  for (const char* strategy : {"k:2", "d:2 k:3", "channel", "tensor"})
    for (const int ranks : {1, 2})
      expect_results_of_whole(convolutions(48, 40), strategy, ranks, 2);
}

TEST(SplitResults, AreBitEqualWhenRepeated) {
  const auto graph = small_unet(2, 8);
  const partition::TaskGraph tasks = lowered(graph, "d:4", 2, 2);
  TaskOracle first(tasks, 7);
  TaskOracle second(tasks, 7);

  first.step(random_inputs(*graph, 1));
  second.step(random_inputs(*graph, 1));

  for (const auto& [state, content] : graph->updates())
    EXPECT_EQ(first.read(state).data, second.read(state).data);
}

}  // namespace
}  // namespace hpdlf::test
