// Computing results twice changes no bit of what a step leaves behind.
#include <gtest/gtest.h>

#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "partition/recompute.hpp"
#include "small_nets.hpp"
#include "support/task_oracle.hpp"

namespace hpdlf::test {
namespace {

constexpr int kSteps = 2;

void expect_same_bits(const std::shared_ptr<const graph::Graph>& graph, const std::string& strategy,
                      int ranks) {
  SCOPED_TRACE(graph->name() + ", strategy " + strategy + ", " + std::to_string(ranks) + " ranks");
  partition::Machine machine;
  machine.ranks = ranks;
  machine.workers = 2;
  machine.task_overhead_us = 0.1;
  const partition::CostModel model(machine);
  const partition::Plan plan = make_plan(graph, model, {.strategy = strategy});
  const auto saved = save_memory(graph, plan, model, {.most_time = 2});
  EXPECT_FALSE(saved.plan.recomputed.empty());
  const partition::TaskGraph kept = lower(graph, plan), twice = lower(saved.graph, saved.plan);
  partition::verify(twice);

  TaskOracle expected(kept, 7), actual(twice, 7);
  for (int step = 0; step < kSteps; ++step) {
    const auto inputs = random_inputs(*graph, static_cast<std::uint64_t>(100 + step));
    expected.step(inputs);
    actual.step(inputs);
    for (const auto& [name, value] : graph->fetches())
      EXPECT_EQ(actual.fetched(name).data, expected.fetched(name).data) << name;
  }
  for (const auto& [state, content] : graph->updates())
    EXPECT_EQ(actual.read(state).data, expected.read(state).data) << graph->value(state).name;
}

class RecomputeResults : public testing::TestWithParam<const char*> {};

TEST_P(RecomputeResults, AreTheSameWithRunningStatisticsAndDropout) {
  expect_same_bits(small_chain(4), GetParam(), 1);
}

TEST_P(RecomputeResults, AreTheSameForTheUNet) {
  expect_same_bits(small_unet(2, 8), GetParam(), 1);
}

TEST_P(RecomputeResults, AreTheSameOnTwoRanks) { expect_same_bits(small_chain(4), GetParam(), 2); }

INSTANTIATE_TEST_SUITE_P(Strategies, RecomputeResults,
                         testing::Values("whole", "n:2", "h:2 w:2", "channel"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           return name;
                         });

TEST(RecomputeResult, IsTheSameForTheTransformer) {
  expect_same_bits(small_transformer(2, 6), "whole", 1);
}

}  // namespace
}  // namespace hpdlf::test
