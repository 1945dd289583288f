#include "train/snapshot_store.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/ranges.h>
#include <map>
#include <optional>
#include <set>
#include <sys/file.h>
#include <unistd.h>

#include "base/atomic_file.hpp"
#include "base/log.hpp"
#include "train/sha256.hpp"
#include "train/snapshot_manifest.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;
using detail::ChunkEntry;
using detail::Manifest;
using detail::TensorEntry;

/// Larger tensors are cut: a chunk is read and checked as a whole, and one file stays easy to copy.
constexpr std::size_t kChunkBytes = std::size_t{64} << 20;

bool is_leftover(const fs::path& path) {
  return path.filename().string().starts_with(kTemporaryPrefix);
}

/// Checks length and hash of one chunk and appends it to `content`.
void read_chunk(const fs::path& chunks_folder, const ChunkEntry& chunk, const std::string& tensor,
                std::vector<std::byte>& content) {
  const fs::path path = chunks_folder / chunk.hash;
  std::vector<std::byte> bytes;
  try {
    bytes = read_file(path);
  } catch (Error& error) {
    error.add_context(fmt::format("reading tensor {}", tensor));
    throw;
  }
  if (static_cast<std::int64_t>(bytes.size()) != chunk.bytes)
    throw Error(fmt::format("{} is truncated: it has {} bytes of {}; tensor {} is lost",
                            path.string(), bytes.size(), chunk.bytes, tensor));
  if (sha256(bytes) != chunk.hash)
    throw Error(fmt::format(
        "{} is damaged: its content does not have the SHA-256 that is its name; tensor {} is lost",
        path.string(), tensor));
  content.insert(content.end(), bytes.begin(), bytes.end());
}

Snapshot read_snapshot(const fs::path& folder) {
  Manifest manifest = detail::read_manifest(folder);
  Snapshot snapshot{std::move(manifest.info), folder, {}};
  for (TensorEntry& entry : manifest.tensors) {
    auto content = std::make_shared<std::vector<std::byte>>();
    for (const ChunkEntry& chunk : entry.chunks)
      read_chunk(folder.parent_path() / detail::kChunksName, chunk, entry.name, *content);
    snapshot.tensors.push_back({std::move(entry.name), entry.type, *content, content});
  }
  return snapshot;
}

/// The newest whole snapshot beside `damaged`; reads all of each candidate.
std::optional<fs::path> newest_whole_beside(const fs::path& damaged) {
  auto folders = detail::list_snapshots(damaged.parent_path());
  for (auto it = folders.rbegin(); it != folders.rend(); ++it) {
    if (*it == damaged) continue;
    try {
      (void)read_snapshot(*it);
      return *it;
    } catch (const Error&) {  // as damaged as the first: try the one before
    }
  }
  return std::nullopt;
}

/// Writes `bytes` under their hash unless they are there already, whole.
ChunkEntry write_chunk(const fs::path& chunks_folder, std::span<const std::byte> bytes) {
  ChunkEntry chunk{sha256(bytes), static_cast<std::int64_t>(bytes.size())};
  const fs::path path = chunks_folder / chunk.hash;
  // A damaged chunk of an old snapshot must not poison this one: an existing file is trusted only after reading it.
  if (fs::exists(path) && sha256(read_file(path)) == chunk.hash) return chunk;
  AtomicFile file(path);
  file.write(bytes);
  file.commit(FolderSync::later);
  return chunk;
}

TensorEntry write_tensor(const fs::path& chunks_folder, const SnapshotTensor& tensor) {
  HPDLF_ASSERT(static_cast<std::int64_t>(tensor.bytes.size()) == tensor.type.bytes(),
               "tensor {} is {} but has {} bytes", tensor.name, graph::to_string(tensor.type),
               tensor.bytes.size());
  TensorEntry entry{tensor.name, tensor.type, {}};
  for (std::size_t begin = 0; begin < tensor.bytes.size(); begin += kChunkBytes) {
    const std::size_t size = std::min(kChunkBytes, tensor.bytes.size() - begin);
    entry.chunks.push_back(write_chunk(chunks_folder, tensor.bytes.subspan(begin, size)));
  }
  return entry;
}

/// Makes folder `name` with the manifest appear in one rename.
void publish(const fs::path& snapshots_folder, const std::string& name, const Manifest& manifest) {
  const fs::path temporary = snapshots_folder / (std::string(kTemporaryPrefix) + name);
  make_folders(temporary);
  const std::string text = to_json(manifest);
  write_file_atomically(temporary / detail::kManifestName, text);
  write_file_atomically(
      temporary / detail::kChecksumName,
      fmt::format("{}  {}\n", sha256(std::as_bytes(std::span(text))), detail::kManifestName));
  std::error_code error;
  fs::rename(temporary, snapshots_folder / name, error);
  if (error) throw file_error("write", snapshots_folder / name, error.value());
  sync_folder(snapshots_folder);
}

void remove_leftovers(const fs::path& folder) {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_leftover(entry.path())) leftovers.push_back(entry.path());
  for (const fs::path& path : leftovers) fs::remove_all(path);
}

}  // namespace

const SnapshotTensor& Snapshot::tensor(const std::string& name) const {
  std::vector<std::string> names;
  for (const SnapshotTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
    names.push_back(tensor.name);
  }
  throw Error(fmt::format("snapshot {} has no tensor `{}`; it has {}", folder.string(), name,
                          fmt::join(names, ", ")));
}

fs::path find_snapshot(const fs::path& path) {
  fs::path folder = fs::absolute(path).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();  // "run/" is "run"
  if (folder.filename() == detail::kManifestName) folder = folder.parent_path();
  if (!fs::exists(folder))
    throw Error(fmt::format("no snapshot at {}: there is no such folder", folder.string()));
  if (fs::exists(folder / detail::kManifestName)) return folder;
  for (const fs::path& candidate : {folder / "snapshots", folder}) {
    const auto folders = detail::list_snapshots(candidate);
    if (!folders.empty()) return folders.back();
  }
  throw Error(fmt::format(
      "no snapshot in {}: give a run's folder, its folder `snapshots` or one snapshot in it",
      folder.string()));
}

Snapshot load_snapshot(const fs::path& path) {
  const fs::path folder = find_snapshot(path);
  try {
    return read_snapshot(folder);
  } catch (Error& error) {
    error.add_context(fmt::format("reading snapshot {}", folder.string()));
    const auto whole = newest_whole_beside(folder);
    error.set_hint(
        whole ? fmt::format("{} is whole: name it instead", whole->string())
              : fmt::format("no other snapshot in {} is whole", folder.parent_path().string()));
    throw;
  }
}

void check_network(const Snapshot& snapshot, const graph::Graph& graph,
                   const std::string& network) {
  std::map<std::string_view, const SnapshotTensor*> known;
  for (const SnapshotTensor& tensor : snapshot.tensors) known[tensor.name] = &tensor;
  for (const graph::Value& value : graph.values()) {
    if (value.role != graph::Role::parameter && value.role != graph::Role::state) continue;
    const auto found = known.find(value.name);
    if (found != known.end() && found->second->type == value.type) continue;
    throw Error(
        fmt::format(
            "snapshot {} is of another network: it is of \"{}\", this is \"{}\"; {} \"{}\" {}, "
            "but {} is expected",
            snapshot.folder.string(), snapshot.info.network, network,
            value.role == graph::Role::parameter ? "parameter" : "state", value.name,
            found == known.end() ? "is missing"
                                 : fmt::format("is {}", graph::to_string(found->second->type)),
            graph::to_string(value.type)),
        "use the [network], the [optimizer], the classes and the channels of the config.toml of "
        "the "
        "run that the snapshot belongs to; patch and batch may differ");
  }
}

SnapshotStore::SnapshotStore(fs::path folder, int keep_last)
    : folder_(std::move(folder)), keep_last_(keep_last) {
  HPDLF_CHECK(keep_last_ >= 1, "at least one snapshot must be kept, not {}", keep_last_);
  make_folders(folder_ / detail::kChunksName);
  const fs::path lock = folder_ / ".lock";
  lock_fd_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_fd_ < 0) throw file_error("write", lock, errno);
  // File systems without locks answer otherwise than EWOULDBLOCK: then there is no protection, but no reason to stop.
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(lock_fd_);
    throw Error(fmt::format("another process is writing snapshots to {}", folder_.string()),
                "wait for it, stop it, or train under another run name");
  }
}

SnapshotStore::~SnapshotStore() { ::close(lock_fd_); }

std::vector<fs::path> SnapshotStore::list() const { return detail::list_snapshots(folder_); }

fs::path SnapshotStore::save(const SnapshotInfo& info, std::span<const SnapshotTensor> tensors) {
  const auto existing = list();
  const std::int64_t serial = existing.empty() ? 1 : detail::serial_of(existing.back()) + 1;
  const std::string name = detail::folder_name(serial, info.step);
  try {
    Manifest manifest{info, {}};
    for (const SnapshotTensor& tensor : tensors)
      manifest.tensors.push_back(write_tensor(folder_ / detail::kChunksName, tensor));
    sync_folder(folder_ / detail::kChunksName);
    publish(folder_, name, manifest);
  } catch (Error& error) {
    collect_garbage();  // gives back the space that the part already written takes
    error.add_context(
        fmt::format("saving the snapshot of step {}; earlier snapshots are kept", info.step));
    throw;
  }
  forget_old();
  collect_garbage();
  return folder_ / name;
}

void SnapshotStore::forget_old() {
  const auto folders = list();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_last_) < folders.size(); ++i) {
    std::error_code error;
    fs::rename(folders[i],
               folder_ / (std::string(kTemporaryPrefix) + folders[i].filename().string()), error);
    if (error)
      spdlog::warn("cannot remove the old snapshot {}: {}", folders[i].string(), error.message());
  }
}

void SnapshotStore::collect_garbage() try {
  sync_folder(folder_);  // the names are gone for good before what they refer to
  remove_leftovers(folder_);
  remove_leftovers(folder_ / detail::kChunksName);

  std::set<std::string> needed;
  for (const fs::path& folder : list())
    for (const TensorEntry& tensor : detail::read_manifest(folder).tensors)
      for (const ChunkEntry& chunk : tensor.chunks) needed.insert(chunk.hash);
  std::vector<fs::path> unneeded;
  for (const auto& entry : fs::directory_iterator(folder_ / detail::kChunksName))
    if (!needed.contains(entry.path().filename().string())) unneeded.push_back(entry.path());
  for (const fs::path& path : unneeded) fs::remove(path);
} catch (const std::exception& error) {
  // A manifest that cannot be read may need any chunk: better to keep too much. Saving goes on either way.
  spdlog::warn("old snapshot contents in {} are kept: {}", folder_.string(), error.what());
}

}  // namespace hpdlf::train
