#include "partition/recompute.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/builder.hpp"
#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "partition/simulator.hpp"
#include "small_nets.hpp"
#include "support/message_of.hpp"

namespace hpdlf::partition {
namespace {

Machine machine(int workers = 2) {
  Machine m;
  m.workers = workers;
  m.task_overhead_us = 0.1;  // the nets are small: what their tasks do should count
  return m;
}

struct Saved {
  Recomputation result;
  TaskGraph tasks;
  Prediction prediction;
};

Prediction simulated(const std::shared_ptr<const graph::Graph>& graph, const Plan& plan,
                     const Machine& m) {
  TaskGraph tasks = lower(graph, plan);
  set_priorities(tasks, CostModel(m));
  return simulate(tasks, CostModel(m));
}

class SaveMemory : public testing::Test {
 protected:
  std::shared_ptr<const graph::Graph> net = test::small_chain(4);
  Plan plan = make_plan(net, CostModel(machine()), {.strategy = "whole"});
  Prediction without = simulated(net, plan, machine());

  [[nodiscard]] Saved save(const RecomputeRequest& request, const Machine& m = machine()) const {
    Saved s{save_memory(net, plan, CostModel(m), request), {}, {}};
    s.tasks = lower(s.result.graph, s.result.plan);
    set_priorities(s.tasks, CostModel(m));
    s.prediction = simulate(s.tasks, CostModel(m));
    return s;
  }
};

TEST_F(SaveMemory, LowersThePeakWithinTheTime) {
  const Saved s = save({.most_time = 1.3});

  verify(s.tasks);
  EXPECT_EQ(s.prediction.peak_bytes[0], s.result.peak_bytes);
  EXPECT_LT(static_cast<double>(s.result.peak_bytes),
            0.9 * static_cast<double>(without.peak_bytes[0]));
  EXPECT_LE(s.prediction.seconds, 1.3 * without.seconds);
}

TEST_F(SaveMemory, TakesNoMoreTimeThanItNeeds) {
  const auto all = save({.most_time = 1.3});
  const std::int64_t enough = (all.result.peak_bytes + without.peak_bytes[0]) / 2;

  const auto some = save({.most_time = 1.3, .enough_bytes = enough});

  EXPECT_LE(some.result.peak_bytes, enough);
  EXPECT_LT(some.result.plan.recomputed.size(), all.result.plan.recomputed.size());
}

TEST_F(SaveMemory, DoesNothingWhereThereIsEnough) {
  const auto s = save({.enough_bytes = without.peak_bytes[0]});

  EXPECT_EQ(s.result.graph->fingerprint(), net->fingerprint());
  EXPECT_THAT(s.result.plan.recomputed, testing::IsEmpty());
  EXPECT_THAT(s.result.plan.reason, testing::HasSubstr("; nothing need be computed twice"));
}

TEST_F(SaveMemory, SaysSoWhereThereIsNoTimeForIt) {
  const auto s = save({.most_time = 1.0}, machine(1));  // no worker is ever idle

  EXPECT_THAT(s.result.plan.recomputed, testing::IsEmpty());
  EXPECT_THAT(s.result.plan.reason,
              testing::HasSubstr("would lower the peak, but take more than the +0 % of time"));
}

TEST(SaveMemoryOfASingleNode, SaysThatNothingIsGained) {
  auto graph = std::make_shared<graph::Graph>("single");
  graph::Builder builder(*graph);
  graph->fetch("y", builder.relu("y", graph->add_input("x", {DType::f32, {4, 4}})));
  const CostModel model(machine());
  const Plan plan = make_plan(graph, model, {.strategy = "whole"});

  const Recomputation saved = save_memory(graph, plan, model, {});

  EXPECT_THAT(saved.plan.reason,
              testing::EndsWith("; computing anything twice would not lower the peak"));
}

TEST_F(SaveMemory, TakesLongerIfTheStepDoesNotFitOtherwise) {
  Machine small = machine();
  small.memory_bytes = save({.most_time = 1.3}).result.peak_bytes;

  const auto s = save({.most_time = 1.0}, small);

  EXPECT_LE(s.result.peak_bytes, small.memory_bytes);
  EXPECT_GT(s.prediction.seconds, without.seconds);
}

TEST_F(SaveMemory, ChoosesTheSameAgain) {
  const auto first = save({});
  const auto second = save({});

  EXPECT_EQ(to_json(first.result.plan, *first.result.graph),
            to_json(second.result.plan, *second.result.graph));
}

TEST_F(SaveMemory, SaysWhatItDoesAndWhatThatCosts) {
  const auto s = save({.most_time = 1.3});

  EXPECT_THAT(s.result.plan.reason, testing::HasSubstr("results twice rather than keep them"));
  EXPECT_THAT(s.result.plan.reason, testing::ContainsRegex("[0-9]+ Normalize"));
  for (const std::string& name : s.result.plan.recomputed)
    EXPECT_THAT(name, testing::HasSubstr(".recomputed"));
}

TEST_F(SaveMemory, LetsCopiesWaitForWhatTheirReaderReadsBesideThem) {
  const auto s = save({.most_time = 1.3});
  const graph::Graph& graph = *s.result.graph;
  ASSERT_THAT(s.result.plan.recomputed, testing::Not(testing::IsEmpty()));

  for (const std::string& name : s.result.plan.recomputed) {
    const auto id = graph.value(graph.find(name)).producer;
    const auto after = s.result.plan.nodes[static_cast<std::size_t>(id)].after;
    ASSERT_NE(after, graph::kNone) << name;
    EXPECT_EQ(graph.node(graph.value(after).producer).phase, graph::Phase::backward) << name;
  }
  for (std::size_t t = 0; t < s.tasks.tasks.size(); ++t) {
    const Task& task = s.tasks.tasks[t];
    if (task.after < 0) continue;
    for (std::size_t w = 0; w < t; ++w)
      for (const Access& a : s.tasks.tasks[w].access)
        if (a.tile == task.after && a.mode != Access::Mode::read) {
          EXPECT_LE(s.prediction.finish[w], s.prediction.start[t]);
        }
  }
}

TEST_F(SaveMemory, PlansAreReadBack) {
  const auto s = save({.most_time = 1.3});

  const Plan read = plan_from_json(to_json(s.result.plan, *s.result.graph), *s.result.graph);

  EXPECT_EQ(read.recomputed, s.result.plan.recomputed);
  for (std::size_t n = 0; n < read.nodes.size(); ++n)
    EXPECT_EQ(read.nodes[n].after, s.result.plan.nodes[n].after);
}

TEST(RecomputeFrom, NamesTheNearest) {
  EXPECT_EQ(recompute_from("auto"), Recompute::automatic);
  EXPECT_EQ(recompute_from("off"), Recompute::off);
  EXPECT_THAT(test::message_of([] { (void)recompute_from("aut"); }),
              testing::HasSubstr("did you mean `auto`?"));
}

}  // namespace
}  // namespace hpdlf::partition
