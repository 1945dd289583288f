#include "train/step_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "base/steady_median.hpp"
#include "train/optimizer.hpp"

namespace hpdlf::train {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

runtime::HostTensorPtr scalar(double value) {
  auto tensor = std::make_shared<runtime::HostTensor>(graph::TensorType{DType::f32, {}});
  tensor->as<float>()[0] = static_cast<float>(value);
  return tensor;
}

/// One step at a time in flight beside the one being prepared.
class StepLoop {
 public:
  StepLoop(runtime::Executor& executor, StepLoopHooks& hooks, const StepLoopOptions& options)
      : executor_(executor), hooks_(hooks), options_(options), inputs_(scalar_inputs()) {}

  StepLoopResult run() {
    executor_.set_next_step(options_.first_step);
    StepLoopResult result;
    std::int64_t step = options_.first_step;
    for (; step < options_.steps; ++step) {
      runtime::StepInputs batch = hooks_.inputs(step);
      add_scalars(batch, step);
      submitted_.push_back(now());
      executor_.submit(batch);
      if (step > options_.first_step) finish(step - 1);
      const bool stop = hooks_.stop_requested();
      if (stop || is_due(step + 1, options_.validate_every) ||
          is_due(step + 1, options_.snapshot_every)) {
        finish(step);
        at_boundary(step + 1, stop);
      }
      if (stop) {
        result.interrupted = true;
        ++step;
        break;
      }
    }
    result.steps_done = step;
    result.step_ms = steady_median(seconds_) * 1e3;
    result.submit_us = steady_median(submit_us_);
    return result;
  }

 private:
  struct ScalarInputs {
    graph::ValueId learning_rate = graph::kNone, step = graph::kNone, beta1 = graph::kNone;
  };

  ScalarInputs scalar_inputs() const {
    ScalarInputs ids;
    const auto& values = executor_.task_graph().graph->values();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i].name == kLearningRateInput) ids.learning_rate = static_cast<graph::ValueId>(i);
      if (values[i].name == kStepInput) ids.step = static_cast<graph::ValueId>(i);
      if (values[i].name == kBeta1Input) ids.beta1 = static_cast<graph::ValueId>(i);
    }
    return ids;
  }

  void add_scalars(runtime::StepInputs& batch, std::int64_t step) const {
    if (inputs_.learning_rate != graph::kNone)
      batch[inputs_.learning_rate] = scalar(learning_rate(options_.schedule, step, options_.steps));
    if (inputs_.beta1 != graph::kNone)
      batch[inputs_.beta1] = scalar(cycled_momentum(options_.schedule, step, options_.steps));
    if (inputs_.step != graph::kNone) batch[inputs_.step] = scalar(static_cast<double>(step + 1));
  }

  /// After `done` steps: at the end, and every `period` steps if that is not 0.
  bool is_due(std::int64_t done, std::int64_t period) const {
    return done == options_.steps || (period > 0 && done % period == 0);
  }

  /// Reads the result of `step` (once) and reports it.
  void finish(std::int64_t step) {
    if (step < finished_) return;
    const runtime::StepResult result = executor_.wait(step);
    const double end = now();
    StepReport report{.step = step, .result = &result};
    report.loss = static_cast<double>(result.fetched.at("loss")->as<float>()[0]);
    report.learning_rate = learning_rate(options_.schedule, step, options_.steps);
    report.seconds =
        end - std::max(last_end_, submitted_[static_cast<std::size_t>(step - options_.first_step)]);
    finished_ = step + 1;
    if (!std::isfinite(report.loss)) fail_non_finite(report);
    seconds_.push_back(report.seconds);
    submit_us_.push_back(result.submit_us);
    hooks_.on_step(report);
    last_end_ = now();
  }

  [[noreturn]] void fail_non_finite(const StepReport& report) {
    executor_.drain();
    throw Error(
        fmt::format(
            "the loss of step {} is {}; the steps before were finite (learning rate {:.3g})",
            report.step + 1, report.loss, report.learning_rate),
        "the last snapshot is untouched: resume from it with a lower `optimizer.learning_rate` or "
        "a longer "
        "`schedule.warmup`, and look at the images for extreme intensities");
  }

  void at_boundary(std::int64_t done, bool stop) {
    executor_.drain();
    if (!stop && is_due(done, options_.validate_every)) hooks_.validate(done);
    if (stop || is_due(done, options_.snapshot_every)) hooks_.save(done);
    last_end_ = now();
  }

  runtime::Executor& executor_;
  StepLoopHooks& hooks_;
  const StepLoopOptions& options_;
  ScalarInputs inputs_;
  std::vector<double> submitted_, seconds_, submit_us_;
  std::int64_t finished_ = 0;
  double last_end_ = 0;
};

}  // namespace

StepLoopResult run_steps(runtime::Executor& executor, StepLoopHooks& hooks,
                         const StepLoopOptions& options) {
  return StepLoop(executor, hooks, options).run();
}

}  // namespace hpdlf::train
