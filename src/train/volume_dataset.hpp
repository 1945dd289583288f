// Segmentation data: which files make a case, how label values become classes, and the prepared cases.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "train/volume.hpp"

namespace hpdlf::train {

struct VolumeDataOptions {
  /// One entry a case or a glob; channels of a case are separated by ';': "t1/*.nii.gz;flair/*.nii.gz". Globs are sorted.
  std::vector<std::string> train_images, train_labels, validation_images, validation_labels;
  /// "files": as listed. "hemispheres": train on the left half (x < middle) of the train files, validate on the mirrored right half.
  std::string split = "files";
  std::vector<std::string> classes;  ///< names; index = class, 0 is the background
  /// What label values a class holds, one entry a class: values and ranges "1,3,10-20", or names with '*' from `label_names`
  /// ("Hippocampus*,Amygdala*"); "*" takes everything left over but 0. Empty: value = class.
  std::vector<std::string> class_labels;
  /// Text with a value and its name a line. Numbers behind the name need not be written (AAL's codes, FreeSurfer's colours), nor a
  /// description. A name that several values have stands for all of them.
  std::filesystem::path label_names;
  std::int64_t downsample = 1;  ///< block mean of this many voxels an axis; labels: nearest
  bool normalise = true;        ///< z-score a channel
};

/// One prepared volume with its classes, not yet padded.
struct VolumeCase {
  std::string name;
  Volume image;
  LabelVolume labels;
};

struct VolumeDataset {
  std::vector<VolumeCase> train, validation;
};

/// Finds, reads and prepares every case. @throws Error (each its own) for a pattern that matches nothing, different numbers of images and labels,
/// image and label of different shape or affine, a label value of no class (value, count, file), an unknown class name or label name (nearest named).
[[nodiscard]] VolumeDataset load_volumes(const VolumeDataOptions& options);
/// One image prepared as the cases are (for prediction): channels separated by ';'.
[[nodiscard]] Volume load_image(const std::string& channels, const VolumeDataOptions& options);

/// The files of the first case that `entries` name, channels separated by ';'.
[[nodiscard]] std::string first_image(const std::vector<std::string>& entries);

/// Weights ~ 1 / sqrt(frequency of the class over all voxels), mean 1 over voxels; a class that never occurs gets the largest weight.
[[nodiscard]] std::vector<float> class_weights(const std::vector<const LabelVolume*>& labels,
                                               std::int64_t classes);
/// Dice coefficient of each class 1 .. classes-1: 2 |A and B| / (|A| + |B|); 1 if both are empty. Extents must agree.
[[nodiscard]] std::vector<double> dice(const LabelVolume& truth, const LabelVolume& predicted,
                                       std::int64_t classes);

}  // namespace hpdlf::train
