// The training loop: one step is always in flight while the next batch is prepared and the last loss is read.
//
// Knows executors, schedules and when to stop, validate and save; what a batch is and what validation means is the app's.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/error.hpp"
#include "runtime/executor.hpp"
#include "train/lr_schedule.hpp"

namespace hpdlf::train {

struct StepLoopOptions {
  std::int64_t first_step = 0;      ///< > 0 when resumed; `steps`: only validation is left
  std::int64_t steps = 200;         ///< the schedule's length; the loop ends after step `steps` - 1
  std::int64_t validate_every = 0;  ///< steps; 0: only at the end
  std::int64_t snapshot_every = 0;  ///< steps; 0: only at the end
  ScheduleOptions schedule;
};

struct StepReport {
  std::int64_t step = 0;
  double loss = 0;
  double learning_rate = 0;
  double seconds =
      0;  ///< from the end of the step before (or the submission, if later) to the end of this one
  const runtime::StepResult* result = nullptr;
};

/// What an app supplies. All calls come from the loop's thread, on every rank alike.
class StepLoopHooks {
 public:
  virtual ~StepLoopHooks() = default;
  /// The batch of step `step`; learning rate and step number are added by the loop. Blocks until it is loaded.
  virtual runtime::StepInputs inputs(std::int64_t step) = 0;
  virtual void on_step(const StepReport& report) = 0;
  /// Nothing is in flight; `step` updates are done. Called every validate_every steps and at the end.
  virtual void validate(std::int64_t step) = 0;
  /// Nothing is in flight; saves the state after `step` updates, or begins to. Called every snapshot_every steps, at the end and when interrupted.
  /// @returns false, and saves nothing, if a parameter or state is not finite.
  [[nodiscard]] virtual bool save(std::int64_t step) = 0;
  /// Called once something is not finite: sets parameters and state to those this run saved last, or began with.
  /// @returns the updates they have seen; inputs() is asked for that step next.
  virtual std::int64_t restore() = 0;
  /// True once the user asked to stop; the ranks agree on it. In the last step it changes nothing.
  virtual bool stop_requested() = 0;
};

/// Numbers became NaN or infinite: every rank throws it alike.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

struct StepLoopResult {
  std::int64_t steps_done = 0;  ///< updates in all, resumed ones included
  bool interrupted = false;
  double step_ms = 0;    ///< steady_median of this run's steps
  double submit_us = 0;  ///< the same of the time that submitting a step takes, on this rank
};

/// Runs the loop on `executor`, whose graph has the fetch "loss". If the loss, or what is to be saved, is not finite, the steps
/// since the last save are repeated with every value watched. @throws NonFiniteError naming the step, the first such value and its layer.
[[nodiscard]] StepLoopResult run_steps(runtime::Executor& executor, StepLoopHooks& hooks,
                                       const StepLoopOptions& options);

}  // namespace hpdlf::train
