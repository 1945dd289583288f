// The loop on a small network: what it asks of its hooks, and what it says when numbers stop being finite.
#include "train/step_loop.hpp"

#include <cstring>
#include <functional>
#include <gmock/gmock.h>

#include "graph/builder.hpp"
#include "support/executor_runs.hpp"
#include "support/runtime_fixture.hpp"
#include "train/optimizer.hpp"

namespace hpdlf::train {
namespace {

using graph::Builder;
using graph::Graph;
using graph::ValueId;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kSteps = 8;

/// x [4, 6] -> linear, square, linear -> cross-entropy; SGD.
std::shared_ptr<const Graph> two_layers() {
  auto g = std::make_shared<Graph>("two_layers");
  Builder b(*g);
  const ValueId x = g->add_input("x", {DType::f32, {4, 6}});
  const ValueId labels = g->add_input("labels", {DType::i32, {4}});
  const ValueId hidden = b.linear("fc1", x, 5);
  const ValueId logits = b.linear("fc2", b.op("scaled", "Mul", {hidden, hidden}), 3);
  const ValueId loss =
      b.op("loss", "CrossEntropyLoss", {b.op("sums", "CrossEntropySums", {logits, labels})});
  g->fetch("loss", loss);
  add_optimizer(*g, graph::differentiate(*g, loss), {.name = "sgd", .weight_decay = 0});
  return g;
}

/// Keeps the last saved parameters and state in memory.
class Hooks : public StepLoopHooks {
 public:
  Hooks(runtime::Executor& executor, std::function<float(std::int64_t)> input)
      : executor_(executor), input_(std::move(input)), graph_(*executor.task_graph().graph) {}

  runtime::StepInputs inputs(std::int64_t step) override {
    asked.push_back(step);
    auto x = std::make_shared<runtime::HostTensor>(graph_.value(graph_.find("x")).type);
    for (float& value : x->as<float>()) value = input_(step);
    auto labels = std::make_shared<runtime::HostTensor>(graph_.value(graph_.find("labels")).type);
    for (std::int32_t i = 0; i < 4; ++i)
      labels->as<std::int32_t>()[static_cast<std::size_t>(i)] = i % 3;
    return {{graph_.find("x"), x}, {graph_.find("labels"), labels}};
  }
  void on_step(const StepReport& report) override { losses.push_back(report.loss); }
  void validate(std::int64_t step) override { validated.push_back(step); }
  bool save(std::int64_t step) override {
    if (refuses_to_save) return false;
    saved_step = step;
    for (std::size_t i = 0; i < graph_.values().size(); ++i)
      if (is_kept(i)) saved_[static_cast<ValueId>(i)] = executor_.read(static_cast<ValueId>(i));
    return true;
  }
  std::int64_t restore() override {
    if (saved_.empty()) executor_.initialise();
    for (const auto& [id, content] : saved_) executor_.write(id, *content);
    asked.clear();
    return saved_step;
  }
  bool stop_requested() override { return asks_to_stop; }

  std::vector<std::int64_t> asked;  ///< since the beginning or the last restore()
  std::vector<std::int64_t> validated;
  std::vector<double> losses;
  std::int64_t saved_step = 0;
  bool asks_to_stop = false, refuses_to_save = false;

 private:
  [[nodiscard]] bool is_kept(std::size_t i) const {
    const auto role = graph_.values()[i].role;
    return role == graph::Role::parameter || role == graph::Role::state;
  }
  runtime::Executor& executor_;
  std::function<float(std::int64_t)> input_;
  const Graph& graph_;
  std::map<ValueId, std::shared_ptr<runtime::HostTensor>> saved_;
};

class StepLoopTest : public test::RuntimeFixture {
 protected:
  void start(std::function<float(std::int64_t)> input) {
    executor_ = std::make_unique<runtime::Executor>(
        session(), test::tasks_for(session(), two_layers(), "n:2"), model);
    executor_->initialise();
    hooks_ = std::make_unique<Hooks>(*executor_, std::move(input));
  }
  StepLoopResult run(double rate, std::int64_t snapshot_every, std::int64_t first_step = 0) {
    return run_steps(*executor_, *hooks_,
                     {.first_step = first_step,
                      .steps = kSteps,
                      .snapshot_every = snapshot_every,
                      .schedule = {.name = "constant", .peak = rate}});
  }
  std::string error_of(double rate, std::int64_t snapshot_every) {
    try {
      (void)run(rate, snapshot_every);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  void TearDown() override {
    hooks_.reset();
    executor_.reset();
    RuntimeFixture::TearDown();
  }
  std::unique_ptr<runtime::Executor> executor_;
  std::unique_ptr<Hooks> hooks_;
};

float ordinary(std::int64_t step) { return 0.1F * static_cast<float>(step + 1); }

TEST_F(StepLoopTest, RunsEveryStepAndSavesAtTheEnd) {
  start(ordinary);

  const StepLoopResult result = run(0.1, 0);

  EXPECT_EQ(result.steps_done, kSteps);
  EXPECT_EQ(hooks_->losses.size(), static_cast<std::size_t>(kSteps));
  EXPECT_EQ(hooks_->saved_step, kSteps);
}

TEST_F(StepLoopTest, SavesButDoesNotValidateWhereItIsStopped) {
  start([this](std::int64_t step) {
    hooks_->asks_to_stop = step == 3;
    return ordinary(step);
  });

  const StepLoopResult result = run(0.1, 0);

  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.steps_done, 4);
  EXPECT_EQ(hooks_->saved_step, 4);
  EXPECT_THAT(hooks_->validated, ElementsAre());
}

TEST_F(StepLoopTest, IsFinishedIfStoppedInTheLastStep) {
  start([this](std::int64_t step) {
    hooks_->asks_to_stop = step == kSteps - 1;
    return ordinary(step);
  });

  const StepLoopResult result = run(0.1, 0);

  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(result.steps_done, kSteps);
  EXPECT_EQ(hooks_->saved_step, kSteps);
  EXPECT_THAT(hooks_->validated, ElementsAre(kSteps));
}

TEST_F(StepLoopTest, OnlyValidatesWhereAllStepsAreDone) {
  start(ordinary);

  const StepLoopResult result = run(0.1, 0, kSteps);

  EXPECT_EQ(result.steps_done, kSteps);
  EXPECT_EQ(result.step_ms, 0);
  EXPECT_THAT(hooks_->asked, ElementsAre());
  EXPECT_THAT(hooks_->validated, ElementsAre(kSteps));
}

TEST_F(StepLoopTest, NamesTheLayerWhoseForwardOverflowed) {
  // 1e30 is finite, and so is what fc1 makes of it; its square is not.
  start([](std::int64_t step) { return step == 5 ? 1e30F : ordinary(step); });

  const std::string error = error_of(0.1, 3);

  EXPECT_THAT(
      error, AllOf(HasSubstr("the loss of step 6"), HasSubstr("learning rate 0.1"),
                   HasSubstr("the output of \"scaled\" (Mul, layer scaled, forward)"),
                   HasSubstr("in step 6"), HasSubstr("the snapshot of step 3 is good: resume with"),
                   HasSubstr("look at the images")));
  EXPECT_THAT(hooks_->asked, ElementsAre(3, 4, 5)) << "repeated from the last save";
}

TEST_F(StepLoopTest, NamesTheParameterThatAnUpdateMadeInfinite) {
  start([](std::int64_t) { return 30.0F; });  // gradients above 1

  const std::string error = error_of(3e38, 0);

  EXPECT_THAT(error,
              AllOf(HasSubstr("the loss of step"), HasSubstr("the parameter \"fc"),
                    HasSubstr("after its update (SGD, layer fc"), HasSubstr("update), in step 1"),
                    HasSubstr("no step was saved yet: train again with a lower")));
}

TEST_F(StepLoopTest, NamesAnInputThatIsNotFinite) {
  start([](std::int64_t step) { return step == 2 ? INFINITY : ordinary(step); });

  EXPECT_THAT(error_of(0.1, 0), AllOf(HasSubstr("the input \"x\", in step 3"), HasSubstr("data")));
}

TEST_F(StepLoopTest, LooksForTheOriginWhenTheStateIsNotWorthSaving) {
  start([](std::int64_t step) { return step == 1 ? NAN : ordinary(step); });
  hooks_->refuses_to_save = true;

  EXPECT_THAT(error_of(0.1, 1),
              AllOf(HasSubstr("the parameters after step 1 are not all finite"),
                    HasSubstr("repeated from step 1 on, every value was finite")));
}

TEST_F(StepLoopTest, EndsTheSearchWhenAskedToStop) {
  start([](std::int64_t step) { return step == 0 ? NAN : ordinary(step); });
  hooks_->asks_to_stop = true;

  EXPECT_THAT(error_of(0.1, 0), HasSubstr("the search for its origin was stopped before step 1"));
}

}  // namespace
}  // namespace hpdlf::train
