#include "train/step_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "base/median.hpp"
#include "train/non_finite.hpp"
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
      : executor_(executor), hooks_(hooks), options_(options), scalars_(scalar_inputs()) {}

  StepLoopResult run() {
    executor_.set_next_step(options_.first_step);
    if (options_.first_step == options_.steps) hooks_.validate(options_.steps);
    StepLoopResult result;
    std::int64_t step = options_.first_step;
    for (; step < options_.steps; ++step) {
      const runtime::StepInputs batch = inputs(step);
      submitted_.push_back(now());
      executor_.submit(batch);
      if (step > options_.first_step) finish(step - 1);
      // In the last step it comes too late: all updates are done, and the run ends as usual.
      const bool stop = hooks_.stop_requested() && step + 1 < options_.steps;
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

  runtime::StepInputs inputs(std::int64_t step) const {
    runtime::StepInputs batch = hooks_.inputs(step);
    if (scalars_.learning_rate != graph::kNone)
      batch[scalars_.learning_rate] =
          scalar(learning_rate(options_.schedule, step, options_.steps));
    if (scalars_.beta1 != graph::kNone)
      batch[scalars_.beta1] = scalar(cycled_momentum(options_.schedule, step, options_.steps));
    if (scalars_.step != graph::kNone) batch[scalars_.step] = scalar(static_cast<double>(step + 1));
    return batch;
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
    if (!std::isfinite(report.loss))
      fail_non_finite(step, fmt::format("the loss of step {} is {}", step + 1, report.loss));
    seconds_.push_back(report.seconds);
    submit_us_.push_back(result.submit_us);
    hooks_.on_step(report);
    last_end_ = now();
  }

  [[noreturn]] void fail_non_finite(std::int64_t step, const std::string& symptom) {
    executor_.drain();
    const std::int64_t saved = hooks_.restore();
    const std::string rate =
        fmt::format("learning rate {:.3g}", learning_rate(options_.schedule, step, options_.steps));
    const Origin origin = find_origin(saved, step);
    throw NonFiniteError(
        fmt::format("{} ({}); {}", symptom, rate, origin.text),
        fmt::format("{} with {}",
                    saved > 0 ? fmt::format("the snapshot of step {} is good: resume", saved)
                              : "no step was saved yet: train again",
                    origin.remedy));
  }

  struct Origin {
    std::string text, remedy;
  };

  /// Repeats the steps after `saved` up to `last`, each on its own, until a value is not finite. The step in which the first
  /// one appears may lie before the one whose loss shows it: its update spoils the parameters of the next.
  Origin find_origin(std::int64_t saved, std::int64_t last) {
    constexpr const char* kAnything = "a lower `optimizer.learning_rate`";
    executor_.watch_finiteness(true);
    executor_.set_next_step(saved);
    for (std::int64_t step = saved; step <= last; ++step) {
      if (hooks_.stop_requested())
        return {fmt::format("the search for its origin was stopped before step {}", step + 1),
                kAnything};
      executor_.submit(inputs(step));
      if (const auto found = executor_.first_non_finite()) {
        NonFiniteOrigin origin = describe(executor_.task_graph(), *found);
        return {fmt::format("the first value that is not finite is {}, in step {}", origin.what,
                            step + 1),
                origin.remedy};
      }
    }
    return {fmt::format("repeated from step {} on, every value was finite", saved + 1), kAnything};
  }

  void at_boundary(std::int64_t done, bool stop) {
    executor_.drain();
    if (!stop && is_due(done, options_.validate_every)) hooks_.validate(done);
    if ((stop || is_due(done, options_.snapshot_every)) && !hooks_.save(done))
      fail_non_finite(done - 1,
                      fmt::format("the parameters after step {} are not all finite", done));
    last_end_ = now();
  }

  runtime::Executor& executor_;
  StepLoopHooks& hooks_;
  const StepLoopOptions& options_;
  ScalarInputs scalars_;
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
