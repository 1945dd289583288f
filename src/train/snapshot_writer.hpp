// Snapshots written while training goes on.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <future>
#include <vector>

#include "train/snapshot_store.hpp"

namespace hpdlf::train {

/// Writes to a store by a thread of its own, one snapshot at a time. One thread uses it.
class SnapshotWriter {
 public:
  /// `store` must outlive the writer.
  explicit SnapshotWriter(SnapshotStore& store) : store_(store) {}
  ~SnapshotWriter();  // waits; an error that nobody asked for is logged
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  /// Waits for the snapshot before, then returns while this one is written. @param tensors  each with its owner, unchanged from now on.
  /// @throws what writing the snapshot before threw: this one is not begun.
  void save(SnapshotInfo info, std::vector<SnapshotTensor> tensors);
  /// Blocks until the last snapshot is on the disk. @throws what writing it threw.
  void finish();

 private:
  SnapshotStore& store_;
  std::future<void> writing_;
};

}  // namespace hpdlf::train
