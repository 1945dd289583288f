#include "partition/waits.hpp"

#include <gtest/gtest.h>

#include "graph/autodiff.hpp"
#include "graph/builder.hpp"
#include "graph/passes/pass.hpp"
#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "partition/simulator.hpp"

namespace hpdlf::partition {
namespace {

using graph::Builder;
using graph::kNone;
using graph::ValueId;

/// Four convolutions large enough for Winograd, whose weights are transformed, and their gradients.
std::shared_ptr<const graph::Graph> convolutions() {
  auto g = std::make_shared<graph::Graph>("convolutions");
  Builder b(*g);
  ValueId x = g->add_input("x", {DType::f32, {1, 8, 16, 16, 32}});
  for (const char* name : {"a", "b", "c", "d"})
    x = b.op(std::string(name) + ".tanh", "Tanh",
             {b.conv(name, x, {.out_channels = 32, .kernel = {3, 3, 3}, .pads = {1, 1, 1}})});
  const ValueId loss = b.op("loss", "ReduceSum", {x}, {{"keepdims", std::int64_t{0}}});
  for (const auto& [parameter, gradient] : graph::differentiate(*g, loss))
    g->fetch("d " + g->value(parameter).name, gradient);
  graph::optimize(*g);
  return g;
}

class AwaitedValues : public testing::Test {
 protected:
  std::shared_ptr<const graph::Graph> net = convolutions();
  std::vector<ValueId> awaited = awaited_values(*net);

  [[nodiscard]] std::size_t node(const std::string& value) const {
    return static_cast<std::size_t>(net->value(net->find(value)).producer);
  }
  [[nodiscard]] std::string awaited_by(const std::string& value) const {
    const ValueId v = awaited[node(value)];
    return v == kNone ? "nothing" : net->value(v).name;
  }
};

TEST_F(AwaitedValues, LetWeightsBeTransformedALayerAhead) {
  EXPECT_EQ(awaited_by("a.weights"), "nothing");
  EXPECT_EQ(awaited_by("d.weights"), "b.tanh");
}

TEST_F(AwaitedValues, KeepTheBackwardPassOutOfTheForwardPass) {
  const ValueId v = awaited[node("b.grad_input.weights")];
  ASSERT_NE(v, kNone);
  EXPECT_EQ(net->node(net->value(v).producer).phase, graph::Phase::backward) << net->value(v).name;
}

TEST_F(AwaitedValues, AreNoneOfWhatReadsDataAnyway) {
  for (const char* value : {"a", "d.tanh", "d.tanh.grad", "b.grad_input", "b.grad_weight"})
    EXPECT_EQ(awaited_by(value), "nothing") << value;
}

TEST_F(AwaitedValues, ArePlannedAndKeptToAnyCut) {
  Machine machine;
  machine.workers = 2;
  const CostModel model(machine);
  for (const char* strategy : {"whole", "d:4"}) {
    const Plan plan = make_plan(net, model, {.strategy = strategy});
    TaskGraph tasks = lower(net, plan);
    verify(tasks);
    set_priorities(tasks, model);
    const Prediction p = simulate(tasks, model);

    int waiting = 0;
    for (std::size_t t = 0; t < tasks.tasks.size(); ++t) {
      if (tasks.tasks[t].after < 0) continue;
      ++waiting;
      for (std::size_t w = 0; w < t; ++w)
        for (const Access& a : tasks.tasks[w].access)
          if (a.tile == tasks.tasks[t].after && a.mode != Access::Mode::read)
            EXPECT_LE(p.finish[w], p.start[t]) << tasks.describe(tasks.tasks[t]);
    }
    EXPECT_GE(waiting, 4) << strategy;
  }
}

}  // namespace
}  // namespace hpdlf::partition
