// Axes and slices as operator attributes name them: negative axes count from the back, slices clamp as in NumPy.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "base/attrs.hpp"
#include "base/shape.hpp"

namespace hpdlf {

/// `axis` of a tensor of this rank in [0, rank). @throws Error if there is no such axis.
[[nodiscard]] int normalized_axis(std::int64_t axis, int rank);

/// One flag a dimension.
using AxisSet = std::array<bool, kMaxRank>;
/// The axes listed; all of them if the list is empty. @throws Error if one does not exist or is named twice.
[[nodiscard]] AxisSet axis_set(const std::vector<std::int64_t>& axes, int rank);

/// Elements start, start + step, ... of one dimension, `count` of them; step may be negative.
struct SliceRange {
  std::int64_t start = 0, step = 1, count = 0;

  [[nodiscard]] bool is_whole(std::int64_t extent) const {
    return start == 0 && step == 1 && count == extent;
  }
};
/// The ranges of all dimensions of a tensor from the attributes starts, ends, axes (empty: the first ones) and steps (empty: 1), with
/// ONNX Slice's meaning. @throws Error if the lists differ in length or a step is 0.
[[nodiscard]] std::array<SliceRange, kMaxRank> slices_from(const Attrs& attrs,
                                                           const Extents& extents);

}  // namespace hpdlf
