// Sliding-window inference over a volume of any size, windows blended by a Gaussian (Isensee et al., nnU-Net, 2021).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "train/volume.hpp"

namespace hpdlf::train {

/// Low corners of windows of extents `window` that cover `volume` (both [D, H, W], window <= volume), neighbours overlapping by at least `overlap` of
/// their extent; the last one of an axis ends at the volume's end.
[[nodiscard]] std::vector<Extents> window_positions(const Extents& volume, const Extents& window,
                                                    double overlap);

/// Maps an image window f32 [D, H, W, C] to class probabilities f32 [D, H, W, K].
using WindowPredictor = std::function<std::vector<float>(std::span<const float> window)>;

/// Class of the largest blended probability a voxel. A volume smaller than the window is padded, and the padding cut off again.
[[nodiscard]] LabelVolume segment(const Volume& image, const Extents& window, std::int64_t classes,
                                  double overlap, const WindowPredictor& predict);

/// What segment() holds at its highest, in bytes: the padded image, the blended probabilities, a window and its prediction.
[[nodiscard]] std::int64_t segment_bytes(const Extents& image, const Extents& window,
                                         std::int64_t classes);

}  // namespace hpdlf::train
