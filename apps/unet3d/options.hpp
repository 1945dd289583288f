// Everything a user can set of the U-Net app: one struct, bound to the configuration once.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "apps/unet3d/network.hpp"
#include "base/config.hpp"
#include "partition/recompute.hpp"
#include "runtime/session.hpp"
#include "train/augment.hpp"
#include "train/lr_schedule.hpp"
#include "train/optimizer.hpp"
#include "train/volume_dataset.hpp"

namespace hpdlf::apps {

struct UNet3dAppOptions {
  train::VolumeDataOptions data;
  std::vector<std::int64_t> patch;  ///< voxels [D, H, W]; empty: whole volumes, padded
  double foreground_share = 2.0 / 3;
  std::int64_t loader_threads = 1;

  UNet3dOptions net;
  bool weighted_loss = true;
  SegmentationLossOptions loss;
  train::OptimizerOptions optimizer;
  train::ScheduleOptions schedule;
  bool cycle_momentum = true;
  train::AugmentOptions augment;

  std::int64_t steps = 200, batch = 1, seed = 0;
  std::int64_t validate_every = 25, snapshot_every = 50, keep_snapshots = 2;
  double overlap = 0.5;

  std::string strategy = "auto", scheduler = runtime::kDefaultScheduler;
  partition::Recompute recompute = partition::Recompute::off;
  std::int64_t workers = 0;  ///< 0: one a core
  double memory_gib = 0;     ///< a rank may use; 0: what is left for it
  std::string run_name, run_folder = "runs";
};

/// Declares every key, reads them, and rejects unknown ones. @throws Error with file, line and nearest key.
[[nodiscard]] UNet3dAppOptions read_options(Config& config);

}  // namespace hpdlf::apps
