// Class labels as 32-bit integers, and the message for one that names no class.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/tensor_view.hpp"

namespace hpdlf::codelets {

/// What does not fit becomes the nearest number that does: still no class, as there are fewer than 2^31.
[[nodiscard]] constexpr std::int32_t saturated_label(std::int64_t label) {
  using Limits = std::numeric_limits<std::int32_t>;
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(label, Limits::min(), Limits::max()));
}

[[nodiscard]] inline std::int64_t label_at(const TensorView& labels, std::int64_t offset) {
  if (labels.dtype == DType::u8) return labels.as<std::uint8_t>()[offset];
  if (labels.dtype == DType::i32) return labels.as<std::int32_t>()[offset];
  return labels.as<std::int64_t>()[offset];
}

/// Finds the first label that is neither in [0, classes) nor `ignore_index`. @throws Error naming value, position and classes.
[[noreturn]] inline void throw_bad_label(const TensorView& labels, std::int64_t classes,
                                         std::int64_t ignore_index) {
  Extents index = Extents::filled(labels.rank(), 0);
  for (std::int64_t left = labels.elements(); left > 0; --left) {
    std::int64_t offset = 0;
    Extents position = labels.origin;
    for (int i = 0; i < labels.rank(); ++i) {
      offset += index[i] * labels.strides[i];
      position[i] += index[i];
    }
    const std::int64_t label = label_at(labels, offset);
    HPDLF_CHECK(
        (label >= 0 && label < classes) || label == ignore_index,
        "label {} at {} is not a class; with {} classes it must be in [0, {}) or {} (ignored)",
        label, to_string(position), classes, classes, ignore_index);
    for (int i = labels.rank() - 1; i >= 0 && ++index[i] == labels.extents[i]; --i) index[i] = 0;
  }
  throw InternalError("a label was rejected but all are classes");
}

}  // namespace hpdlf::codelets
