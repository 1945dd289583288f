// How much of a step each worker computes, from the times of its tasks.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "runtime/executor.hpp"

namespace hpdlf::runtime {

/// Takes the task times of one step after another (ExecutorOptions::on_times) and gives every worker's busy share.
///
/// A step lasts from the end of the step before, or from its own first task where that is later (at the start, after a
/// validation), to its own end. What the next step's head does in it counts as busy. It keeps the times of one step only.
class BusyMeter {
 public:
  explicit BusyMeter(int workers);
  /// The steps come in order. Tasks of a step start after the step two before it has ended, as the executor has it.
  void add_step(std::span<const TaskTime> times);
  /// [worker]: time in tasks / length of the step, 0 to 1; steady_median over the steps. Zeros before the first step.
  [[nodiscard]] std::vector<double> shares() const;

 private:
  struct Window {
    double start_us = 0, end_us = 0;
  };
  [[nodiscard]] std::vector<double> last_shares(std::span<const TaskTime> next) const;

  std::vector<std::vector<double>> shares_;  ///< [worker][step], the last step left out
  std::vector<TaskTime> last_;
  Window window_;  ///< of the last step
};

}  // namespace hpdlf::runtime
