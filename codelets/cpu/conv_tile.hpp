// Geometry of one tile of a convolution or of one of its gradients, derived from where the tile's views lie.
//
// "Wide" is the tensor that windows slide over (x of Conv, dx, dw's x, y of ConvTranspose), "narrow" the one with an element a window.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>

#include "base/tensor_view.hpp"
#include "base/window.hpp"
#include "codelets/cpu/cache_size.hpp"

namespace hpdlf::codelets {

/// One spatial dimension. In coordinates of the tile, narrow position o meets wide positions o * stride - pad_lo + tap * dilation.
struct ConvAxis {
  std::int64_t wide = 1, narrow = 1, kernel = 1, stride = 1, dilation = 1, pad_lo = 0, pad_hi = 0;
};

struct ConvTile {
  TensorView wide;  ///< cropped to the positions that windows reach
  TensorView narrow;
  int spatial = 0;
  std::int64_t group = 1;
  std::array<ConvAxis, 3> axes{};
  bool is_cropped = false;  ///< wide lost positions that no window reaches: a gradient is 0 there
  bool is_empty = false;    ///< no window of the tile meets any position, or there are no samples
};

/// A tile's own padding: none where its halo is there, the operator's at the borders of the tensor, and for gradients by x whatever
/// the first and last window that reach the tile leave over.
[[nodiscard]] inline ConvTile conv_tile(const TensorView& wide, const TensorView& narrow,
                                        const Attrs& attrs) {
  ConvTile tile{.wide = wide,
                .narrow = narrow,
                .spatial = wide.rank() - 2,
                .group = attrs.integer("group"),
                .is_empty = wide.extents[0] == 0};
  const Windows windows = windows_from(attrs, tile.spatial);
  Box box = wide.box();
  for (int i = 0; i < tile.spatial; ++i) {
    const Window& window = windows[static_cast<std::size_t>(i)];
    const std::int64_t first = window.first(
        narrow.origin[i + 1]);  // read by the first window of the tile, [first, end) by all
    const std::int64_t end =
        window.first(narrow.origin[i + 1] + narrow.extents[i + 1] - 1) + window.reach() + 1;
    box.lo[i + 1] = std::max(box.lo[i + 1], first);
    // A rest of less than a stride is what every convolution leaves over; only more than that would be another convolution.
    if (box.hi[i + 1] - end >= window.stride) box.hi[i + 1] = end;
    tile.axes[static_cast<std::size_t>(i)] = {
        .wide = box.hi[i + 1] - box.lo[i + 1],
        .narrow = narrow.extents[i + 1],
        .kernel = window.kernel,
        .stride = window.stride,
        .dilation = window.dilation,
        .pad_lo = box.lo[i + 1] - first,
        .pad_hi = std::max<std::int64_t>(0, end - box.hi[i + 1])};
    tile.is_empty |= box.hi[i + 1] <= box.lo[i + 1] || narrow.extents[i + 1] <= 0;
  }
  if (tile.is_empty) return tile;
  tile.is_cropped = !(box == wide.box());
  tile.wide = wide.slice(box);
  return tile;
}

/// True if an f32 activation consists of whole cache lines: a part of one is slow to write past the caches.
[[nodiscard]] inline bool has_whole_lines(const void* data, std::int64_t channels,
                                          std::int64_t sample,
                                          const std::array<std::int64_t, 3>& strides) {
  const auto is_whole = [](std::int64_t floats) { return floats % kLine == 0; };
  return is_whole(channels) && is_whole(sample) &&
         std::all_of(strides.begin(), strides.end(), is_whole) &&
         reinterpret_cast<std::uintptr_t>(data) % (kLine * sizeof(float)) == 0;
}

[[nodiscard]] inline bool is_f32_with_dense_channels(const TensorView& view) {
  return view.dtype == DType::f32 && view.strides.back() == 1;
}

}  // namespace hpdlf::codelets
