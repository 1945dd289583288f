// Three orthogonal slices through a volume, with a segmentation laid over them.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "train/png_image.hpp"

namespace hpdlf::train {

/// Index of voxel (i, j, k): (i * extents[1] + j) * extents[2] + k. Axes are right, front, up, as in a NIfTI file in RAS order.
struct SliceVolume {
  std::array<std::int64_t, 3> extents{};
  std::array<double, 3> spacing_mm{1, 1, 1};
  std::span<const float> image;
  std::span<const std::uint8_t> truth;       ///< classes; may be empty (none known)
  std::span<const std::uint8_t> prediction;  ///< classes; may be empty (not segmented)
};

struct SlicePictures {
  std::string plane;       ///< "axial", "coronal", "sagittal"
  std::int64_t index = 0;  ///< of the slice along its axis
  RgbImage image;          ///< the scan alone
  RgbImage truth;          ///< with the true classes; empty if none are known
  RgbImage prediction;     ///< with the predicted classes; empty if there are none
};

/// A distinct colour for each class, readable on grey, in light and dark pages; class 0 (background) is not drawn.
[[nodiscard]] Rgb class_color(int label);

/// Slices where all classes of `truth` (or else of `prediction`) show best: each class counts by the share of its voxels that lie in the
/// slice, so that small ones weigh as much as large ones. Without labels: the middle. Pixels are square: spacing is undone.
/// @param longest_side  of a picture, pixels. Cost: linear in voxels, once.
[[nodiscard]] std::vector<SlicePictures> render_slices(const SliceVolume& volume,
                                                       int longest_side = 360);

}  // namespace hpdlf::train
