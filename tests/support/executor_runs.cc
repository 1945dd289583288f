#include "support/executor_runs.hpp"

#include <cstring>
#include <gtest/gtest.h>

#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "partition/recompute.hpp"
#include "runtime/executor.hpp"
#include "support/task_oracle.hpp"
#include "unit/partition/small_nets.hpp"

namespace hpdlf::test {
namespace {

constexpr int kSteps = 4;
constexpr std::uint64_t kSeed = 7;

partition::CostModel model_of(const runtime::Session& session) {
  partition::Machine machine;
  machine.ranks = session.ranks();
  machine.workers = session.cpu_workers();
  return partition::CostModel(machine);
}

std::shared_ptr<const partition::TaskGraph> lowered(
    const std::shared_ptr<const graph::Graph>& graph, const partition::Plan& plan,
    const partition::CostModel& model) {
  auto tasks = std::make_shared<partition::TaskGraph>(lower(graph, plan));
  set_priorities(*tasks, model);
  return tasks;
}

runtime::StepInputs host_inputs(const std::map<graph::ValueId, Tensor>& inputs) {
  runtime::StepInputs result;
  for (const auto& [value, tensor] : inputs) {
    auto host = std::make_shared<runtime::HostTensor>(tensor.type);
    std::memcpy(host->data.data(), tensor.data.data(), tensor.data.size());
    result[value] = std::move(host);
  }
  return result;
}

}  // namespace

std::shared_ptr<const partition::TaskGraph> tasks_for(
    const runtime::Session& session, const std::shared_ptr<const graph::Graph>& graph,
    const std::string& strategy) {
  const partition::CostModel model = model_of(session);
  return lowered(graph, make_plan(graph, model, {.strategy = strategy}), model);
}

std::shared_ptr<const partition::TaskGraph> recomputing_tasks_for(
    const runtime::Session& session, const std::shared_ptr<const graph::Graph>& graph,
    const std::string& strategy) {
  const partition::CostModel model = model_of(session);
  const auto saved =
      save_memory(graph, make_plan(graph, model, {.strategy = strategy}), model, {.most_time = 2});
  EXPECT_FALSE(saved.plan.recomputed.empty());
  return lowered(saved.graph, saved.plan, model);
}

void expect_run_of_oracle(runtime::Session& session,
                          const std::shared_ptr<const graph::Graph>& graph,
                          const std::string& strategy) {
  SCOPED_TRACE("strategy " + strategy);
  expect_run_of_oracle(session, tasks_for(session, graph, strategy));
}

void expect_run_of_oracle(runtime::Session& session,
                          const std::shared_ptr<const partition::TaskGraph>& tasks) {
  const auto& graph = tasks->graph;
  SCOPED_TRACE(graph->name() + ", rank " + std::to_string(session.rank()));
  TaskOracle oracle(*tasks, kSeed);
  runtime::Executor executor(session, tasks, model_of(session), {.seed = kSeed});
  executor.initialise();
  // One step is under way while the next is submitted, as the trainer does it.
  const auto inputs_of = [&](int step) {
    return random_inputs(*graph, static_cast<std::uint64_t>(100 + step));
  };
  executor.submit(host_inputs(inputs_of(0)));
  for (int step = 0; step < kSteps; ++step) {
    if (step + 1 < kSteps) executor.submit(host_inputs(inputs_of(step + 1)));
    const runtime::StepResult result = executor.wait(step);
    oracle.step(inputs_of(step));
    for (const auto& [name, value] : graph->fetches())
      EXPECT_EQ(result.fetched.at(name)->data, oracle.fetched(name, session.rank()).data)
          << name << " of step " << step;
  }
  for (const auto& [state, content] : graph->updates())
    EXPECT_EQ(executor.read(state)->data, oracle.read(state).data) << graph->value(state).name;
}

}  // namespace hpdlf::test
