// Random augmentation of a training sample: a pure function of sample, options and key.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>

#include "train/volume.hpp"

namespace hpdlf::train {

struct AugmentOptions {
  double rotation = 0.08;          ///< standard deviation of the three angles, rad
  double scale = 0.07;             ///< standard deviation of the logarithm of the three scales
  double shift = 2;                ///< standard deviation, voxels
  double intensity_scale = 0.15;   ///< factor uniform in 1 +- this
  double intensity_offset = 0.15;  ///< uniform in +- this
  double noise = 0.05;             ///< standard deviation of Gaussian noise a voxel
  [[nodiscard]] bool is_off() const {
    return rotation == 0 && scale == 0 && shift == 0 && intensity_scale == 0 &&
           intensity_offset == 0 && noise == 0;
  }
};

/// Where a resampled voxel comes from: index p of the result takes index matrix * p + offset of the source.
struct SpatialTransform {
  std::array<double, 9> matrix{1, 0, 0, 0, 1, 0, 0, 0, 1};  ///< row-major
  std::array<double, 3> offset{0, 0, 0};
};
/// Rotation about the axes (Rx Ry Rz, rad) after scaling, about the point extents / 2, then a shift in voxels.
[[nodiscard]] SpatialTransform transform_about_centre(const Extents& extents,
                                                      const std::array<double, 3>& angles,
                                                      const std::array<double, 3>& scales,
                                                      const std::array<double, 3>& shift);
/// Image trilinear with the border repeated, labels nearest with class 0 outside: scipy.ndimage.affine_transform with order=1,
/// mode="nearest" and with order=0, mode="constant". Extents and affines stay.
void resample(Volume& image, LabelVolume& labels, const SpatialTransform& transform);
/// v = v * factor + offset + noise * normal, the normals drawn from Philox(key).
void change_intensity(Volume& image, double factor, double offset, double noise, std::uint64_t key);

/// Resamples both about the centre by a random transform, then changes intensities.
/// Numbers are Philox draws of (key, index): neither threads nor what was drawn before change them.
void augment(Volume& image, LabelVolume& labels, const AugmentOptions& options, std::uint64_t key,
             std::uint64_t index);

}  // namespace hpdlf::train
