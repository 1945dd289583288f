// The U-Net app as commands: train, predict, plan.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace hpdlf::apps {

struct TrainRequest {
  std::filesystem::path config;        ///< TOML file; empty when resuming: the run's own
  std::vector<std::string> overrides;  ///< key=value
  std::filesystem::path resume;        ///< folder of a run; empty: a new one
  bool quiet = false;
  bool trace = false;  ///< FxT and Perfetto traces of the run
};
/// Trains and writes everything into the run's folder. @returns the exit code: 0, or 130 if interrupted (after saving).
int train_unet3d(const TrainRequest& request);

struct PredictRequest {
  std::filesystem::path snapshot;  ///< run folder, its snapshots folder, or one snapshot
  std::string image;               ///< NIfTI file; channels separated by ';'
  std::filesystem::path output;    ///< NIfTI labels, on the grid of the image
  std::vector<std::string>
      overrides;  ///< key=value, of the configuration that the snapshot carries
};
int predict_unet3d(const PredictRequest& request);

struct PlanRequest {
  std::filesystem::path config;
  std::vector<std::string> overrides;
  int ranks = 1;
  std::filesystem::path output;  ///< plan as JSON; empty: none
  bool json = false;
};
/// Prints what a step would cost, for the chosen strategy and beside it for the simplest ones, whether or not these fit in memory.
/// @throws Error if the chosen one does not.
int plan_unet3d(const PlanRequest& request);

}  // namespace hpdlf::apps
