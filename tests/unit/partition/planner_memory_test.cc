// What the planner does where memory is short.
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

using GraphPtr = std::shared_ptr<const graph::Graph>;

Machine machine(int workers, std::int64_t memory_bytes = 0) {
  Machine m;
  m.workers = workers;
  m.memory_bytes = memory_bytes;
  return m;
}

Prediction simulated(const GraphPtr& graph, const Plan& plan, const CostModel& model) {
  return simulate(lower(graph, plan, model), model);
}
/// Of `strategy`, by rooflines and with all the memory it wants.
Prediction simulated(const GraphPtr& graph, const std::string& strategy, int workers = 1) {
  const CostModel model(machine(workers));
  return simulated(graph, make_plan(graph, model, {.strategy = strategy}), model);
}

std::string error_of(const GraphPtr& graph, const std::string& strategy, const CostModel& model) {
  return test::message_of([&] { (void)make_plan(graph, model, {.strategy = strategy}); });
}

/// The product of two branches that begin with parameters, and of which only `depth` can be cut. Less is held at once if the long branch,
/// whose result is an eighth of what it holds on the way, is over before the short one begins.
///
///     few  (1 unit)  -> Sub -----------------------> Mul
///     many (8 units) -> Mul -> ReduceMax (1 unit) -> Mul
GraphPtr two_branches(std::int64_t depth) {
  auto g = std::make_shared<graph::Graph>("two_branches");
  graph::Builder b(*g);
  const auto z = g->add_input("z", {DType::f32, {1, depth, 1, 1, 1}});
  const auto few = g->add_parameter("few", {DType::f32, {1, depth, 16, 16, 1}}, {});
  const auto many = g->add_parameter("many", {DType::f32, {1, depth, 16, 16, 8}}, {});
  const auto short_end = b.op("short", "Sub", {few, z});
  const auto long_end = b.op("largest", "ReduceMax", {b.op("long", "Mul", {many, z})},
                             {{"axes", std::vector<std::int64_t>{-1}}});
  g->fetch("product", b.op("product", "Mul", {short_end, long_end}));
  return g;
}

/// By rooflines the long branch goes first; with these times the short one does.
class SlowSub final : public KernelTimes {
 public:
  std::optional<double> seconds(const KernelCall& call) override {
    return call.spec->name == "Sub" ? std::optional(1.0) : std::nullopt;
  }
};

TEST(PlanMemory, ThatIsTooSmallByMeasuredTimesIsAnError) {
  const auto graph = two_branches(1);  // which cannot be cut
  const Machine m = machine(1, simulated(graph, "whole").peak_bytes[0]);

  EXPECT_EQ(error_of(graph, "auto", CostModel(m)), "no error");
  EXPECT_THAT(error_of(graph, "auto", CostModel(m, std::make_shared<SlowSub>())),
              testing::StartsWith("strategy \"auto\" needs at least 0.0 MiB a rank"));
}

TEST(PlanMemory, ThatIsTooSmallForTheFastestByMeasuredTimesGivesASlowerPlan) {
  const auto graph = two_branches(8);
  const Machine m = machine(1, simulated(graph, "whole").peak_bytes[0]);
  const CostModel measured(m, std::make_shared<SlowSub>());

  const Plan rough = make_plan(graph, CostModel(m), {});
  const Plan plan = make_plan(graph, measured, {});

  EXPECT_THAT(rough.reason, testing::StartsWith("\"whole\", "));
  EXPECT_GT(simulated(graph, rough, measured).peak_bytes[0], m.memory_bytes);
  EXPECT_THAT(plan.reason, testing::StartsWith("\"d:2\", "));
  EXPECT_LE(simulated(graph, plan, measured).peak_bytes[0], m.memory_bytes);
}

TEST(PlanMemory, ThatIsTooSmallSaysHowMuchIsMissing) {
  const std::string error =
      error_of(test::small_unet(1, 8), "whole", CostModel(machine(2, 10 << 10)));

  EXPECT_THAT(error,
              testing::ContainsRegex("strategy \"whole\" needs at least [0-9.]+ MiB a rank, but "
                                     "only 0.0 MiB may be used: [0-9.]+ MiB are missing"));
}

TEST(PlanMemory, ThatIsTooSmallForAnyPlanSaysByHowMuchTheDataIsTooLarge) {
  const auto graph = two_branches(1);
  const Prediction p = simulated(graph, "whole");
  const std::int64_t kept = p.kept_bytes[0], data = p.peak_bytes[0] - kept;
  EXPECT_EQ(kept, 9 << 10);
  const auto error = [&](std::int64_t for_data) {
    return error_of(graph, "whole", CostModel(machine(1, kept + for_data)));
  };

  EXPECT_THAT(error(data * 25 / 26), testing::HasSubstr("hint: a batch or patch about 1.1 times"));
  EXPECT_THAT(error(data / 4 + 1), testing::HasSubstr("hint: a batch or patch about 4.0 times"));
  EXPECT_THAT(error(0), testing::HasSubstr("hint: 0.0 MiB a rank are parameters and what else is "
                                           "kept between steps, whatever the batch"));
}

TEST(PlanMemory, ThatFitsAnotherStrategyNamesIt) {
  const auto graph = test::small_unet(2, 8);
  const std::int64_t whole = simulated(graph, "whole").peak_bytes[0];
  const std::int64_t channel = simulated(graph, "c:4").peak_bytes[0];
  ASSERT_NE(whole, channel);

  const CostModel model(machine(1, std::min(whole, channel)));

  EXPECT_THAT(error_of(graph, whole > channel ? "whole" : "c:4", model),
              testing::HasSubstr("hint: strategy \""));
}

TEST(PlanMemory, ThatFitsAnotherPlanNamesAStrategyThatThereIs) {
  const auto graph = test::small_unet(1, 16);
  const std::string before = "hint: strategy \"";
  int named = 0;
  for (const int workers : {2, 8, 16})
    for (const std::string& strategy : strategy_names()) {
      const std::int64_t peak = simulated(graph, strategy, workers).peak_bytes[0];

      const std::string error = error_of(graph, strategy, CostModel(machine(workers, peak - 1)));

      const auto at = error.find(before);
      if (at == std::string::npos) continue;  // nothing needs less
      const auto name = at + before.size();
      EXPECT_NO_THROW(check_strategy(error.substr(name, error.find('"', name) - name))) << error;
      ++named;
    }
  EXPECT_GT(named, 0);
}

}  // namespace
}  // namespace hpdlf::partition
