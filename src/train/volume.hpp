// Volumes: a 3-D image (several channels) or a label map, with where its voxels lie in the world.
//
// Voxels are stored as our tensors are: [X, Y, Z, C] with the last index fastest. X, Y, Z are the axes of the NIfTI array
// (nibabel's order), so D, H, W of a network input are X, Y, Z.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "base/shape.hpp"

namespace hpdlf::train {

/// Row-major 4x4: voxel index -> millimetres.
using Affine = std::array<double, 16>;

struct Volume {
  Extents extents;  ///< [X, Y, Z, C]
  Affine affine{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  std::vector<float> voxels;
};

struct LabelVolume {
  Extents extents;  ///< [X, Y, Z]
  Affine affine{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  std::vector<std::uint8_t> voxels;  ///< class indices
};

/// Millimetres a voxel along each axis.
[[nodiscard]] std::array<double, 3> spacing(const Affine& affine);

/// Block means of `factor`^3 voxels; a remainder at the end is cut off. The affine follows.
[[nodiscard]] Volume downsample(const Volume& volume, std::int64_t factor);
/// First voxel of every block, as a nearest neighbour.
[[nodiscard]] LabelVolume downsample(const LabelVolume& labels, std::int64_t factor);
/// Subtracts the mean and divides by the standard deviation, channel by channel (a constant channel becomes 0).
void normalise_z_score(Volume& volume);
/// Appends voxels at the high ends until every extent is a multiple of `multiple` and at least `least`: the minimum of the channel, or class 0.
[[nodiscard]] Volume pad_to(const Volume& volume, std::int64_t multiple,
                            const Extents& least = {1, 1, 1});
[[nodiscard]] LabelVolume pad_to(const LabelVolume& labels, std::int64_t multiple,
                                 const Extents& least = {1, 1, 1});
/// The region [lo, hi) of the axes X, Y, Z.
[[nodiscard]] Volume crop(const Volume& volume, const Box& region);
[[nodiscard]] LabelVolume crop(const LabelVolume& labels, const Box& region);
/// Reverses the X axis (the affine follows).
[[nodiscard]] Volume mirror_x(const Volume& volume);
[[nodiscard]] LabelVolume mirror_x(const LabelVolume& labels);

}  // namespace hpdlf::train
