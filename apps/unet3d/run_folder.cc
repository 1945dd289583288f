#include "apps/unet3d/run_folder.hpp"

#include <ctime>
#include <fmt/chrono.h>

#include "base/atomic_file.hpp"

namespace hpdlf::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSnapshots = "snapshots";

std::string fresh_name() {
  return fmt::format("unet3d-{:%Y%m%d-%H%M%S}", fmt::localtime(std::time(nullptr)));
}

/// A snapshot may be named to go on from; the run is the folder that holds `snapshots`.
fs::path run_of(const fs::path& path) {
  const fs::path snapshots = train::find_snapshot(path).parent_path();
  if (snapshots.filename() != kSnapshots)
    throw Error(fmt::format("{} is in no run: its folder is {}, not `{}`", path.string(),
                            snapshots.string(), kSnapshots),
                "runs are the folders in runs/");
  return snapshots.parent_path();
}

}  // namespace

RunFolder::RunFolder(const UNet3dAppOptions& options)
    : keep_snapshots_(static_cast<int>(options.keep_snapshots)) {
  const fs::path runs = options.run_folder;
  if (options.run_name.empty()) {
    const std::string name = fresh_name();
    path_ = runs / name;
    for (int i = 2; !make(path_); ++i) path_ = runs / fmt::format("{}-{}", name, i);
    return;
  }
  path_ = runs / options.run_name;
  if (!path_.has_filename()) path_ = path_.parent_path();  // "name/" is "name"
  if (fs::exists(path_ / kSnapshots))
    throw Error(fmt::format("{} already holds a run", path_.string()),
                fmt::format("choose another `run.name`, or go on with `hpdlf train --resume {}`",
                            path_.string()));
  make(path_);
}

RunFolder::RunFolder(const UNet3dAppOptions& options, const fs::path& path)
    : path_(run_of(path)), keep_snapshots_(static_cast<int>(options.keep_snapshots)) {
  lock();
}

RunFolder::~RunFolder() {
  std::error_code not_empty;
  for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder)
    fs::remove(*folder, not_empty);
}

train::SnapshotStore& RunFolder::lock() {
  if (store_ == nullptr)
    store_ = std::make_unique<train::SnapshotStore>(path_ / kSnapshots, keep_snapshots_);
  return *store_;
}

/// With its parents. @returns false if it was there.
bool RunFolder::make(const fs::path& folder) {
  if (folder.has_parent_path() && !fs::exists(folder.parent_path())) make(folder.parent_path());
  std::error_code error;
  const bool is_new = fs::create_directory(folder, error);
  if (error) throw file_error("make folder", folder, error.value());
  if (is_new) made_.push_back(folder);
  return is_new;
}

}  // namespace hpdlf::apps
