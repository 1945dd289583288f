// summary.json: the result of a run in one small file, for scripts and for comparing runs.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace hpdlf::train {

struct RunSummary {
  std::string name, network, plan, machine;
  double mean_dice = 0;  ///< over the classes below, at the last validation
  std::vector<std::pair<std::string, double>> dice;  ///< by class name, background left out
  double loss = 0;                                   ///< of the last step
  std::int64_t steps = 0;                            ///< updates done, resumed ones included
  std::int64_t resumed_at =
      0;  ///< updates that earlier processes of the run did; times and memory are those of this one
  bool interrupted = false;
  double step_ms = 0, predicted_step_ms = 0;  ///< median measured; simulated
  std::vector<double> busy;       ///< by worker of this rank: share of the step that it computes
  double submit_us_per_task = 0;  ///< time to hand a task of this rank to StarPU
  double peak_rss_mib = 0, predicted_peak_mib = 0;
  double total_seconds = 0;  ///< of this process
  std::uint64_t seed = 0;
  int ranks = 1, workers = 1;
};

/// NaN and infinity become null. Key order is fixed.
[[nodiscard]] std::string to_json(const RunSummary& summary);
/// @throws Error.
void write_summary(const RunSummary& summary, const std::filesystem::path& path);
/// True if the summary at `path` is of a run that ended after `steps` updates. False if there is none, or none that can be read.
[[nodiscard]] bool says_finished(const std::filesystem::path& path, std::int64_t steps);

}  // namespace hpdlf::train
