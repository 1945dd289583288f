// NIfTI files (.nii, .nii.gz) through niftilib.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "train/volume.hpp"

namespace hpdlf::train {

/// Reads a 3-D image (or 4-D: the fourth axis becomes channels) of any NIfTI data type as float, scaling applied.
/// @throws Error naming the file if it is missing, truncated, damaged (gzip's checksum), no NIfTI, not 3-D or 4-D, or holds NaN or Inf (how many, the first position).
[[nodiscard]] Volume read_image(const std::filesystem::path& path);

/// The integer values of a label file, before they are mapped to classes.
struct RawLabels {
  Extents extents;  ///< [X, Y, Z]
  Affine affine{};
  std::vector<std::int32_t> values;
};
/// @throws Error as read_image, and if a value is no integer.
[[nodiscard]] RawLabels read_labels(const std::filesystem::path& path);

/// Writes labels (u8) with their affine; to a temporary name, then renamed. Compressed if the name ends in .gz.
void write_labels(const std::filesystem::path& path, const LabelVolume& labels);

}  // namespace hpdlf::train
