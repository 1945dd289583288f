// One training run: from configuration to the folder of results. train.cc drives it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "apps/unet3d/app.hpp"
#include "apps/unet3d/history.hpp"
#include "apps/unet3d/inference.hpp"
#include "apps/unet3d/program.hpp"
#include "train/loader.hpp"
#include "train/metrics_log.hpp"
#include "train/progress.hpp"
#include "train/snapshot_writer.hpp"
#include "train/step_loop.hpp"

namespace hpdlf::apps {

/// True if snapshots hold the value: parameters and state.
[[nodiscard]] bool is_kept(const graph::Value& value);

/// Feeds the step loop: batches from the loader, metrics, validation, snapshots. All ranks have one; rank 0 reports.
class UNet3dTraining : public train::StepLoopHooks {
 public:
  struct Parts {
    runtime::Session& session;
    const UNet3dAppOptions& options;
    const train::VolumeDataset& data;
    const PlannedStep& step;
    const std::filesystem::path& folder;
    const std::filesystem::path& resumed;  ///< the snapshot that the run goes on from; empty: none
    train::SnapshotStore* store;  ///< of the first rank, which alone writes; nullptr on the others
    runtime::Executor& executor;
    UNet3dInference& inference;
    std::string config_text;
    bool quiet = false;
  };
  UNet3dTraining(Parts parts, const Extents& window, std::int64_t first_step);

  runtime::StepInputs inputs(std::int64_t step) override;
  void on_step(const train::StepReport& report) override;
  void validate(std::int64_t step) override;
  bool save(std::int64_t step) override;
  std::int64_t restore() override;
  bool stop_requested() override;
  /// Blocks until the last snapshot is on the disk. @throws Error if it could not be written.
  void finish_saving();

  /// The updates that earlier processes did.
  [[nodiscard]] std::int64_t first_step() const { return first_step_; }
  /// Of the whole run: when resumed, with what was before. On the first rank only.
  [[nodiscard]] const History& history() const { return history_; }
  /// Predicted classes of the validation cases at the last validation.
  [[nodiscard]] const std::vector<train::LabelVolume>& predictions() const { return predictions_; }

 private:
  void start_loader(std::int64_t first_step);

  Parts parts_;
  Extents window_;
  std::int64_t first_step_;
  std::unique_ptr<train::Loader> loader_;
  train::Progress progress_;
  std::unique_ptr<train::MetricsLog> metrics_;
  std::unique_ptr<train::SnapshotWriter> writer_;
  bool has_saved_ = false;
  History history_;
  std::vector<train::LabelVolume> predictions_;
  double voxels_per_step_;
};

/// Sets parameters and state from what find_snapshot() finds at `path`; returns the updates it has seen. Collective over the ranks.
[[nodiscard]] std::int64_t resume_from(const std::filesystem::path& path,
                                       runtime::Executor& executor, const std::string& network);
/// The effective configuration that a snapshot carries. @throws Error if it has none.
[[nodiscard]] std::string config_of(const train::Snapshot& snapshot);

/// The soft Dice of the foreground classes from the fetch "dice_sums".
[[nodiscard]] double soft_dice(const runtime::HostTensor& sums);

}  // namespace hpdlf::apps
