#include "partition/simulator.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <tuple>

#include "partition/dependences.hpp"
#include "partition/lower.hpp"
#include "partition/memory_model.hpp"
#include "partition/planner.hpp"
#include "small_nets.hpp"
#include "task_graph_fixture.hpp"

namespace hpdlf::partition {
namespace {

/// 1 GB/s and no overhead: a task of b bytes takes b nanoseconds.
Machine plain_machine(int ranks, int workers) {
  Machine m;
  m.ranks = ranks;
  m.workers = workers;
  m.gbytes_per_s = 1;
  m.task_overhead_us = 0;
  m.link_gbytes_per_s = 1;
  m.link_latency_us = 0;
  return m;
}

TEST(CostModel, TakesTheSlowerOfComputingAndStreaming) {
  test::TaskGraphFixture f;
  Task& task = f.feed(f.tile(), 4e6);
  task.cost.flops = 1e9;
  Machine machine = plain_machine(1, 1);
  machine.gflops_f32 = 100;
  machine.task_overhead_us = 6;

  EXPECT_DOUBLE_EQ(CostModel(machine).seconds(f.finish().tasks[0]), 10e-3 + 6e-6);
  machine.gflops_f32 = 1000;
  EXPECT_DOUBLE_EQ(CostModel(machine).seconds(f.finish().tasks[0]), 4e-3 + 6e-6);
}

TEST(CostModel, ComputesAtTheSpeedOfTheTypeThatIsMultiplied) {
  test::TaskGraphFixture f;
  Task& task = f.feed(f.tile());  // of f32
  task.cost.flops = 1e9;
  task.cost.arithmetic = DType::bf16;
  Machine machine = plain_machine(1, 1);
  machine.gflops_f32 = 100;
  machine.gflops_bf16 = 200;

  EXPECT_DOUBLE_EQ(CostModel(machine).seconds(f.finish().tasks[0]), 5e-3);
}

TEST(CostModel, GivesEveryTaskSomeTime) {
  test::TaskGraphFixture f;
  f.feed(f.tile());

  EXPECT_DOUBLE_EQ(CostModel(plain_machine(1, 1)).seconds(f.finish().tasks[0]), 0.5e-6);
}

//      feed a
//     /      \.
//  a->b 3   a->c 2
//     \      /
//      c->b 1
TEST(Simulator, RunsIndependentTasksOnTwoWorkersAtOnce) {
  test::TaskGraphFixture f;
  const TileId a = f.tile(), b = f.tile(), c = f.tile();
  f.feed(a, 1e6);
  f.copy(a, b, 3e6);
  f.copy(a, c, 2e6);
  f.copy(c, b, 1e6);

  const Prediction p = simulate(f.finish(), CostModel(plain_machine(1, 2)));

  EXPECT_DOUBLE_EQ(p.seconds, 5e-3);
  EXPECT_DOUBLE_EQ(p.start[2], 1e-3);
  EXPECT_DOUBLE_EQ(p.start[3], 4e-3);
}

TEST(Simulator, CountsWorkersThatHaveATaskForHalfOfTheStep) {
  const auto useful =
      [](double together) {  // a step of 4 ms, so many ms of it with two tasks at once
        test::TaskGraphFixture f;
        f.feed(f.tile(), 4e6);
        f.feed(f.tile(), together * 1e6);
        const TaskGraph& tasks = f.finish();
        return useful_workers(tasks, simulate(tasks, CostModel(plain_machine(1, 8))));
      };

  EXPECT_EQ(useful(1.9), 1);
  EXPECT_EQ(useful(2.1), 2);
  EXPECT_EQ(useful(4), 2);
}

TEST(Simulator, StartsTheReadyTaskOfHighestPriorityFirst) {
  test::TaskGraphFixture f;
  f.feed(f.tile(), 1e6).priority = 1;
  f.feed(f.tile(), 1e6).priority = 5;
  f.feed(f.tile(), 1e6).priority = 3;

  const Prediction p = simulate(f.finish(), CostModel(plain_machine(1, 1)));

  EXPECT_LT(p.start[1], p.start[2]);
  EXPECT_LT(p.start[2], p.start[0]);
}

TEST(Simulator, SendsOneTransferOfARankAtATime) {
  test::TaskGraphFixture f(2);
  const TileId a = f.tile(0), b = f.tile(1), c = f.tile(1);
  f.feed(a);
  f.transfer(a, b);
  f.transfer(a, c);

  const Prediction p = simulate(f.finish(), CostModel(plain_machine(2, 2)));

  EXPECT_DOUBLE_EQ(p.start[2], p.finish[1]);
  EXPECT_EQ(p.transferred_bytes, 2 * 4 * test::TaskGraphFixture::kElements);
}

TEST(Simulator, CountsTilesFromTheirFirstTaskToTheirLast) {
  test::TaskGraphFixture f;
  const TileId a = f.tile(), b = f.tile(), c = f.tile();
  f.feed(a);
  f.copy(a, b);
  f.copy(b, c);

  const Prediction p = simulate(f.finish(), CostModel(plain_machine(1, 1)));

  EXPECT_EQ(p.peak_bytes, std::vector<std::int64_t>{2 * 4 * test::TaskGraphFixture::kElements});
  EXPECT_EQ(p.peak_at, std::vector<double>{p.start[1]});
}

class SimulatedNet : public testing::TestWithParam<std::tuple<int, int, const char*>> {
 protected:
  SimulatedNet() : model(plain_machine(std::get<0>(GetParam()), std::get<1>(GetParam()))) {
    const auto graph = test::small_unet(2, 8);
    tasks = lower(graph, make_plan(graph, model, {.strategy = std::get<2>(GetParam())}));
    set_priorities(tasks, model);
    prediction = simulate(tasks, model);
  }
  CostModel model;
  TaskGraph tasks;
  Prediction prediction;
};

TEST_P(SimulatedNet, KeepsWorkAndDependences) {
  double work = 0, longest = 0;
  for (std::size_t t = 0; t < tasks.tasks.size(); ++t) {
    const double seconds = model.seconds(tasks.tasks[t]);
    if (tasks.tasks[t].to_rank < 0) work += seconds;
    longest = std::max(longest, seconds);
    EXPECT_NEAR(prediction.finish[t] - prediction.start[t], seconds, 1e-12);
  }
  const Dependences dependences(tasks);
  for (std::size_t t = 0; t < tasks.tasks.size(); ++t)
    for (const TaskId next : dependences.successors(t))
      EXPECT_GE(prediction.start[static_cast<std::size_t>(next)], prediction.finish[t]);

  EXPECT_NEAR(std::accumulate(prediction.busy.begin(), prediction.busy.end(), 0.0), work,
              1e-9 * work);
  for (const double busy : prediction.busy) EXPECT_LE(busy, prediction.seconds * (1 + 1e-12));
  EXPECT_GE(prediction.seconds, longest);
  EXPECT_GE(prediction.seconds * static_cast<double>(prediction.busy.size()), work * (1 - 1e-12));
  EXPECT_TRUE(prediction.busy.size() > 1 || std::abs(prediction.seconds - work) <= 1e-9 * work);
}

TEST_P(SimulatedNet, NeedsAtLeastWhatIsKeptAndTheLargestTask) {
  const auto sequential = sequential_memory(tasks);
  for (std::size_t rank = 0; rank < sequential.size(); ++rank)
    EXPECT_GE(prediction.peak_bytes[rank], sequential[rank].kept);
  for (const Task& task : tasks.tasks) {
    std::map<TileId, std::int64_t> touched;
    for (const Access& a : task.access)
      if (tasks.tile(a.tile).owner == task.rank) touched[a.tile] = tasks.tile(a.tile).bytes();
    std::int64_t bytes = 0;
    for (const auto& [tile, size] : touched) bytes += size;
    EXPECT_GE(prediction.peak_bytes[static_cast<std::size_t>(task.rank)], bytes);
  }
}

TEST_P(SimulatedNet, GivesPrioritiesThatFallAlongDependences) {
  const Dependences dependences(tasks);
  int highest = 0;
  for (std::size_t t = 0; t < tasks.tasks.size(); ++t) {
    highest = std::max<int>(highest, tasks.tasks[t].priority);
    for (const TaskId next : dependences.successors(t)) {
      const int after = tasks.tasks[static_cast<std::size_t>(next)].priority;
      if (after < kPriorityLevels / 2) EXPECT_GE(tasks.tasks[t].priority, after);  // frees memory
    }
  }
  EXPECT_GE(highest, kPriorityLevels / 2 - 1);
  EXPECT_LT(highest, kPriorityLevels);
}

TEST(Priorities, LetMemoryGoAsSoonAsItCan) {
  const auto graph = test::small_chain(4);
  const CostModel model(plain_machine(1, 1));
  TaskGraph tasks = lower(graph, make_plan(graph, model, {.strategy = "whole"}));

  set_priorities(tasks, model);

  // The gradient by x is on the longest path; that by the weights, the last reader of x, need not come later.
  int before = kPriorityLevels;
  for (const Task& task : tasks.tasks) {
    if (task.op != "ConvGradWeight") continue;
    EXPECT_GE(task.priority, kPriorityLevels / 2);
    EXPECT_LT(task.priority, before) << "of those that are ready the first one starts first";
    before = task.priority;
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, SimulatedNet,
                         testing::Combine(testing::Values(1, 2), testing::Values(1, 3),
                                          testing::Values("whole", "d:4", "channel")));

}  // namespace
}  // namespace hpdlf::partition
