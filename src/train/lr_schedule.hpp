// Learning-rate schedules: a pure function of the step, so that resuming needs no state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

namespace hpdlf::train {

struct ScheduleOptions {
  std::string name = "one_cycle";  ///< "constant" | "one_cycle" | "cosine"
  double peak = 2e-3;              ///< highest learning rate
  double warmup = 0.15;            ///< share of the steps that climb to it (one_cycle, cosine)
  double start_divisor = 25;       ///< one_cycle starts at peak / start_divisor ...
  double final_divisor = 1e4;      ///< ... and ends at that / final_divisor
  double low_momentum = 0.85,
         high_momentum = 0.95;  ///< one_cycle: beta1 falls while the rate climbs, and rises again
};

/// Learning rate of step `step` (from 0) of `steps`.
///   one_cycle  cosine up, cosine down: Smith and Topin 2018 as torch.optim.lr_scheduler.OneCycleLR (two phases)
///   cosine     linear warm-up, cosine to 0
/// @throws Error for an unknown name (nearest named).
[[nodiscard]] double learning_rate(const ScheduleOptions& options, std::int64_t step,
                                   std::int64_t steps);
/// Momentum (Adam's beta1) of a step under one_cycle, opposite in phase to the learning rate.
[[nodiscard]] double cycled_momentum(const ScheduleOptions& options, std::int64_t step,
                                     std::int64_t steps);

}  // namespace hpdlf::train
