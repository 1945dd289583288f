// report.html of a run, from what the training kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <vector>

#include "apps/unet3d/training.hpp"
#include "train/run_summary.hpp"

namespace hpdlf::apps {

struct RunReport {
  const train::RunSummary& summary;
  const UNet3dAppOptions& options;
  const train::VolumeDataset& data;
  const PlannedStep& step;
  const partition::CostModel& model;
  const UNet3dTraining& training;
  std::vector<runtime::TaskTime> times;  ///< of one step; empty: none was run
};

/// @throws Error if the file cannot be written.
void write_report(const std::filesystem::path& path, const RunReport& run);

}  // namespace hpdlf::apps
