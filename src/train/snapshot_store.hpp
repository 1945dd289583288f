// Snapshots of a run: whole or absent, verified when read, cheap to keep.
//
//   snapshots/                    (of runs/NAME)
//     chunks/<sha256>             contents, named by their hash; equal contents are stored once
//     000007-step-200/            one snapshot: serial number and step
//       manifest.json             what it is of, where training stood, tensors and their chunks
//       manifest.sha256           hash of manifest.json, as sha256sum(1) writes it
//     .lock                       held by the process that writes here
//
// Chunks come first, each written atomically; the folder with the manifest takes its name last, in one rename. Whatever
// moment a kill -9 or a power failure hits, the newest folder that has a name is whole. Knows nothing of executors.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/ir.hpp"

namespace hpdlf::train {

struct SnapshotTensor {
  std::string name;
  graph::TensorType type;
  std::span<const std::byte> bytes;   ///< dense row-major, type.bytes() of them
  std::shared_ptr<const void> owner;  ///< keeps `bytes` alive; may be null while saving
};

/// Where training stood. The texts belong to those who write them (JSON, hex, ...); the store keeps them as they are.
struct SnapshotInfo {
  std::string network;          ///< for people: "unet3d 16-32-64-128, 1,401,333 parameters"
  std::int64_t step = 0;        ///< updates done
  std::string config_hash;      ///< of the effective configuration
  std::string loader_position;  ///< what the data loader needs to go on
  std::string random_state;     ///< seeds and positions of random streams
  std::map<std::string, double> metrics;
};

struct Snapshot {
  SnapshotInfo info;
  std::filesystem::path folder;
  std::vector<SnapshotTensor> tensors;

  /// @throws Error listing the tensors that are there.
  [[nodiscard]] const SnapshotTensor& tensor(const std::string& name) const;
};

/// Where a snapshot is asked for: `path` may be a run's folder, its snapshots folder, or one snapshot's folder.
/// @returns the folder of that or the newest snapshot. @throws Error if there is none.
[[nodiscard]] std::filesystem::path find_snapshot(const std::filesystem::path& path);

/// Reads a snapshot as find_snapshot() finds it. Every length and hash is checked.
/// @throws Error naming file, tensor, what is wrong, and the newest older snapshot that is whole.
[[nodiscard]] Snapshot load_snapshot(const std::filesystem::path& path);

/// Checks that `snapshot` has every parameter and state of `graph` (the optimizer's too, if it trains), by name and type.
/// What is not the network's may differ: patch, batch, plan. Tensors that `graph` has no use for are left alone.
/// @param network  name of the network of `graph`.
/// @throws Error naming both networks and the first tensor that differs, found and expected.
void check_network(const Snapshot& snapshot, const graph::Graph& graph, const std::string& network);

/// Writes the snapshots of one run. One process at a time; save() may be called from any one thread at a time.
class SnapshotStore {
 public:
  /// Makes the folder. @param keep_last  how many snapshots stay; >= 1.
  /// @throws Error if another process writes there, or the folder cannot be made.
  SnapshotStore(std::filesystem::path folder, int keep_last);
  ~SnapshotStore();
  SnapshotStore(const SnapshotStore&) = delete;
  SnapshotStore& operator=(const SnapshotStore&) = delete;

  /// Blocks until the snapshot is on the disk, then forgets those beyond keep_last. @returns its folder.
  /// @throws Error (full disk, ...): nothing of the new one remains visible, all earlier ones stay.
  std::filesystem::path save(const SnapshotInfo& info, std::span<const SnapshotTensor> tensors);

  /// Folders of the snapshots, oldest first.
  [[nodiscard]] std::vector<std::filesystem::path> list() const;

  /// Removes what nothing refers to: contents of forgotten snapshots, and what killed processes left.
  /// Safe to interrupt: it deletes a name before the contents that only this name needs.
  void collect_garbage();

 private:
  void forget_old();
  std::filesystem::path folder_;
  int keep_last_;
  int lock_fd_ = -1;
};

}  // namespace hpdlf::train
