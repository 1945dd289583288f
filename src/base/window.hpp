// Sliding windows (convolution, pooling): geometry of one dimension, from the attributes kernel_shape, strides, dilations, pads.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <utility>

#include "base/attrs.hpp"
#include "base/shape.hpp"

namespace hpdlf {

/// a / b, rounded down; b > 0.
[[nodiscard]] constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a >= 0 ? a / b : -((b - 1 - a) / b);
}

/// Output position i reads input positions first(i) + tap * dilation, tap = 0 .. kernel - 1; those outside the tensor are padding.
struct Window {
  std::int64_t kernel = 1, stride = 1, dilation = 1, pad_lo = 0, pad_hi = 0;

  [[nodiscard]] std::int64_t first(std::int64_t i) const { return i * stride - pad_lo; }
  /// Distance from the first to the last tap.
  [[nodiscard]] std::int64_t reach() const { return (kernel - 1) * dilation; }
  /// Output positions [first, second) that read some of the input positions [lo, hi), before clipping; lo < hi.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> reaching(std::int64_t lo,
                                                               std::int64_t hi) const {
    return {-floor_div(reach() - pad_lo - lo, stride), floor_div(hi - 1 + pad_lo, stride) + 1};
  }
  /// Number of output positions for an input of this extent; <= 0 if the window does not fit.
  [[nodiscard]] std::int64_t outputs(std::int64_t extent) const {
    const std::int64_t room = extent + pad_lo + pad_hi - reach() - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
};
using Windows = std::array<Window, kMaxRank>;

/// The windows of `count` spatial dimensions. Empty strides and dilations mean 1, empty pads 0; pads are ONNX's: all begins, then all ends.
/// @throws Error naming the attribute if its length or a value does not fit.
[[nodiscard]] Windows windows_from(const Attrs& attrs, int count);

}  // namespace hpdlf
