#include "partition/kernel_call.hpp"

#include <gtest/gtest.h>

#include "partition/cost_model.hpp"
#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "small_nets.hpp"

namespace hpdlf::partition {
namespace {

/// A 3x3x3 convolution of [1, 64, 32, 32, 16], or a Linear layer of 4096 rows.
struct Whole {
  explicit Whole(const char* op)
      : attrs(complete_attrs(graph::op_registry().at(op),
                             std::string_view(op) == "Conv"
                                 ? Attrs{{"kernel_shape", std::vector<std::int64_t>(3, 3)},
                                         {"pads", std::vector<std::int64_t>(6, 1)}}
                                 : Attrs{})) {
    call.spec = &graph::op_registry().at(op);
    call.attrs = &attrs;
    if (std::string_view(op) == "Conv")
      call.inputs = {{DType::f32, {1, 64, 32, 32, 16}}, {DType::f32, {16, 3, 3, 3, 16}}};
    else
      call.inputs = {{DType::f32, {4096, 512}}, {DType::f32, {1024, 512}}};
    call.spec->infer(call);
    rule = graph::tiling_rule(call);
  }
  [[nodiscard]] Box region(char letter, std::int64_t lo, std::int64_t hi) const {
    Box box = rule.iteration_space();
    box.lo[rule.find(letter)] = lo;
    box.hi[rule.find(letter)] = hi;
    return box;
  }
  /// Nanoseconds of its operations, at one each.
  [[nodiscard]] double seconds(const Box& part) const {
    return 1e-9 * cost_of(kernel_call(call, rule, part)).flops;
  }
  [[nodiscard]] std::string sample(const Box& tile, double enough) const {
    const Box part = sample_of(
        rule, tile, [&](const Box& box) { return seconds(box); }, enough);
    return to_string(kernel_call(call, rule, part));
  }

  Attrs attrs;
  graph::OpCall call;
  graph::TilingRule rule;
};

TEST(KernelSample, IsOneForTilesThatDifferInPlaceOrInTheirOuterExtent) {
  const Whole conv("Conv");
  const double enough = conv.seconds(conv.region('d', 0, 9));

  const std::string whole = conv.sample(conv.rule.iteration_space(), enough);

  EXPECT_NE(whole.find("f32[1,10,32,32,16] f32[16,3,3,3,16] -> f32[1,8,32,32,16]"),
            std::string::npos)
      << "8 planes and their margins, not: " << whole;
  EXPECT_EQ(conv.sample(conv.region('d', 0, 32), enough), whole);
  EXPECT_EQ(conv.sample(conv.region('d', 48, 64), enough), whole);
  EXPECT_NE(conv.sample(conv.region('d', 0, 4), enough), whole);
  EXPECT_NE(conv.sample(conv.region('h', 0, 16), enough), whole);
}

TEST(KernelSample, IsTheTileItselfIfThatIsShort) {
  const Whole conv("Conv");
  const Box tile = conv.region('d', 20, 24);

  EXPECT_EQ(conv.sample(tile, 1), to_string(kernel_call(conv.call, conv.rule, tile)));
  EXPECT_EQ(conv.sample(conv.region('d', 0, 4), 1), conv.sample(tile, 1)) << "at the border";
}

TEST(KernelSample, LeavesAProductTheRowsThatItNeeds) {
  const Whole linear("Linear");

  const std::string sample = linear.sample(linear.rule.iteration_space(), 1e-9);

  EXPECT_NE(sample.find("f32[256,256] f32[256,256] -> f32[256,256]"), std::string::npos) << sample;
}

/// Makes every call `slowness` times what a machine's rooflines say, and those whose text holds `slow` ten times that.
class FakeTimes final : public KernelTimes {
 public:
  FakeTimes(const Machine& machine, double slowness, std::string slow = "nothing")
      : rooflines_(machine), slowness_(slowness), slow_(std::move(slow)) {}
  std::optional<double> seconds(const KernelCall& call) override {
    Task task;
    task.cost = cost_of(call);
    Machine machine = rooflines_.machine();
    machine.task_overhead_us = 0;
    const bool is_slow = to_string(call).find(slow_) != std::string::npos;
    return CostModel(machine).seconds(task) * slowness_ * (is_slow ? 10 : 1);
  }

 private:
  CostModel rooflines_;
  double slowness_;
  std::string slow_;
};

Machine machine() {
  Machine m;
  m.workers = 2;
  m.gflops_f32 = m.gbytes_per_s = 0.1;  // no task is as short as the least that a task takes
  m.task_overhead_us = 0;
  return m;
}

TEST(CostModel, TakesMeasuredTimes) {
  const auto graph = test::small_unet(1, 8);
  const CostModel rough(machine());
  const CostModel measured(machine(), std::make_shared<FakeTimes>(machine(), 3));
  const Plan plan = make_plan(graph, rough, {.strategy = "d:2"});

  const TaskGraph tasks = lower(graph, plan, measured);

  int kernels = 0;
  for (const Task& task : tasks.tasks) {
    Task plain = task;
    plain.slowness = 1;
    if (rough.seconds(plain) < 1e-6) continue;
    const bool is_kernel = task.region.rank() > 0;
    kernels += is_kernel ? 1 : 0;
    EXPECT_NEAR(measured.seconds(task) / rough.seconds(plain), is_kernel ? 3 : 1, 1e-9)
        << tasks.describe(task);
  }
  EXPECT_GT(kernels, 10);
}

TEST(PlanAuto, AvoidsTilesThatWereMeasuredToBeSlow) {
  const auto graph = test::small_unet(2, 8);
  const auto chosen = [&](const std::string& slow) {
    const CostModel model(machine(), std::make_shared<FakeTimes>(machine(), 2, slow));
    return make_plan(graph, model, {}).reason;
  };
  const std::string usual = chosen("nothing");
  // Tiles of one sample are slow: what was best if that is how it cuts.
  const std::string other = chosen("-> f32[1,8,6,5,");

  EXPECT_EQ(usual.substr(0, 8), "\"sample\"") << usual;
  EXPECT_NE(other.substr(0, 8), "\"sample\"") << other;
}

}  // namespace
}  // namespace hpdlf::partition
