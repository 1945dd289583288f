// The manifest of a snapshot: its JSON text, read and written, and the folder it lies in. Used by snapshot_store.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "train/snapshot_store.hpp"

namespace hpdlf::train::detail {

struct ChunkEntry {
  std::string hash;
  std::int64_t bytes = 0;
};

struct TensorEntry {
  std::string name;
  graph::TensorType type;
  std::vector<ChunkEntry> chunks;  ///< in order; their bytes one after the other are the tensor
};

struct Manifest {
  SnapshotInfo info;
  std::vector<TensorEntry> tensors;
};

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kChecksumName = "manifest.sha256";
inline constexpr const char* kChunksName = "chunks";

[[nodiscard]] std::string to_json(const Manifest& manifest);

/// Reads and verifies the manifest in `folder`.
/// @throws Error naming the file if it is missing, damaged, or of a later version of the program.
[[nodiscard]] Manifest read_manifest(const std::filesystem::path& folder);

/// Number at the front of "000007-step-200", or -1 if the name is not that of a snapshot.
[[nodiscard]] std::int64_t serial_of(const std::filesystem::path& folder);
[[nodiscard]] std::string folder_name(std::int64_t serial, std::int64_t step);

/// Snapshots in a snapshots folder, oldest first; empty if the folder does not exist.
[[nodiscard]] std::vector<std::filesystem::path> list_snapshots(
    const std::filesystem::path& snapshots_folder);

}  // namespace hpdlf::train::detail
