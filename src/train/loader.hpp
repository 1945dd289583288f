// Prefetching loader: threads cut and augment samples while steps run.
//
// Batch i is a pure function of (cases, options, seed, i): neither the number of threads nor a resume changes it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>

#include "runtime/executor.hpp"
#include "train/augment.hpp"
#include "train/volume_dataset.hpp"

namespace hpdlf::train {

struct LoaderOptions {
  std::int64_t batch = 1;
  Extents patch;              ///< [D, H, W]; every sample has these extents
  bool whole_volumes = true;  ///< a sample is a whole case padded to `patch`; else a random patch
  double foreground_share = 2.0 / 3;  ///< patches: share centred on a voxel of a random class > 0
  AugmentOptions augment;
  std::uint64_t seed = 0;
  int threads = 1;
  int prefetch = 3;  ///< batches ready at most
};

struct Batch {
  std::int64_t index = 0;
  runtime::HostTensorPtr image;   ///< f32 [N, D, H, W, C]
  runtime::HostTensorPtr labels;  ///< u8 [N, D, H, W]
};

class Loader {
 public:
  /// `cases` must outlive the loader. @throws Error if a patch is larger than a volume (names case, extents, patch).
  Loader(const std::vector<VolumeCase>& cases, LoaderOptions options, std::int64_t first_batch = 0);
  ~Loader();  // stops the threads
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  /// The next batch, in order; blocks until it is ready. @throws what a thread threw.
  [[nodiscard]] Batch next();
  /// Seconds that next() has waited in all: 0 if loading keeps up.
  [[nodiscard]] double waited_seconds() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hpdlf::train
