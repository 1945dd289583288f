// The folder of a run: made or found on the first rank, and written by one process at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <memory>
#include <vector>

#include "apps/unet3d/options.hpp"
#include "train/snapshot_store.hpp"

namespace hpdlf::apps {

/// Of the first rank alone; the others are told its path.
class RunFolder {
 public:
  /// Of a new run: runs/NAME. It is made at once, so that a name of date and time, if none is given, is no other run's.
  /// @throws Error if it already holds a run.
  explicit RunFolder(const UNet3dAppOptions& options);
  /// Of the run that goes on from what find_snapshot() finds at `path`; locked. @throws Error if that is in no run; as lock().
  RunFolder(const UNet3dAppOptions& options, const std::filesystem::path& path);
  /// A folder made here goes again if it is still empty: nothing came of the run.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Where the run's snapshots go. Called before anything is written: at the first call it locks the run until the end.
  /// @throws Error if another process writes there.
  train::SnapshotStore& lock();

 private:
  bool make(const std::filesystem::path& folder);

  std::filesystem::path path_;
  int keep_snapshots_;
  std::vector<std::filesystem::path> made_;  ///< outermost first
  std::unique_ptr<train::SnapshotStore> store_;
};

}  // namespace hpdlf::apps
