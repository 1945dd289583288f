// Training samples by number: which case, which part of it, how augmented. A pure function of (cases, options, number).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "train/loader.hpp"

namespace hpdlf::train {

/// Thread-safe after construction: const all through.
class SampleSource {
 public:
  /// `cases` must outlive it. @throws Error if there are none, they differ in channels, or a patch does not fit.
  SampleSource(const std::vector<VolumeCase>& cases, const LoaderOptions& options);

  [[nodiscard]] std::int64_t channels() const { return cases_.front().image.extents[3]; }
  /// Image [D, H, W, C] and labels [D, H, W] of sample `number`; their spatial extents are LoaderOptions::patch.
  void make(std::int64_t number, Volume& image, LabelVolume& labels) const;

 private:
  /// Epoch after epoch every case once, in an order of the epoch's own.
  [[nodiscard]] std::size_t case_of(std::int64_t number) const;
  /// Low corner of a random patch, inside the volume.
  [[nodiscard]] Extents patch_corner(std::size_t which, std::int64_t number) const;

  const std::vector<VolumeCase>& cases_;
  LoaderOptions options_;
  /// [case][class]: offsets of the voxels of that class; patches only.
  std::vector<std::vector<std::vector<std::uint32_t>>> voxels_of_class_;
};

}  // namespace hpdlf::train
