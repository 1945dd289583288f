// What the hand-written weight gradient (conv_grad_weight.cc) works on: a tile's geometry, always in three dimensions.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>

#include "codelets/cpu/conv_tile.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

/// Half-open range of positions along one dimension.
struct Range {
  std::int64_t lo = 0, hi = 0;
  [[nodiscard]] std::int64_t size() const { return hi - lo; }
  [[nodiscard]] bool is_empty() const { return hi <= lo; }
};

struct GradWeightProblem {
  const float *x = nullptr, *dy = nullptr;
  float* dw = nullptr;
  std::int64_t n = 1, c = 1, k = 1;
  std::array<ConvAxis, 3> axes{};            ///< d, h, w; missing ones have extent 1
  std::int64_t x_sample = 0, dy_sample = 0;  ///< strides in elements
  std::array<std::int64_t, 3> x_strides{}, dy_strides{}, dw_strides{};
  std::int64_t dw_k = 0;
  bool accumulate = false;

  explicit GradWeightProblem(const KernelArgs& args)
      : GradWeightProblem(conv_tile(args.in(0), args.in(1), *args.attrs), args.out(0),
                          args.accumulate) {}

  [[nodiscard]] std::int64_t taps() const {
    return axes[0].kernel * axes[1].kernel * axes[2].kernel;
  }

 private:
  GradWeightProblem(const ConvTile& tile, const TensorView& out, bool add)
      : n(tile.wide.extents[0]),
        c(tile.wide.extents.back()),
        k(tile.narrow.extents.back()),
        accumulate(add) {
    x = static_cast<const float*>(tile.wide.data);
    dy = static_cast<const float*>(tile.narrow.data);
    dw = static_cast<float*>(out.data);
    x_sample = tile.wide.strides[0];
    dy_sample = tile.narrow.strides[0];
    dw_k = out.strides[0];
    if (tile.is_empty) n = 0;
    for (int i = 0; i < tile.spatial; ++i) {
      const auto at = static_cast<std::size_t>(3 - tile.spatial + i);
      axes[at] = tile.axes[static_cast<std::size_t>(i)];
      x_strides[at] = tile.wide.strides[i + 1];
      dy_strides[at] = tile.narrow.strides[i + 1];
      dw_strides[at] = out.strides[i + 1];
    }
  }
};

/// Narrow positions for which tap `tap` of an axis lies inside the wide tensor, within `range`.
[[nodiscard]] inline Range positions_inside(const ConvAxis& axis, std::int64_t tap, Range range) {
  const std::int64_t shift = axis.pad_lo - tap * axis.dilation;  // wide = position * stride - shift
  const std::int64_t first = shift <= 0 ? 0 : (shift + axis.stride - 1) / axis.stride;
  const std::int64_t last = axis.wide - 1 + shift;
  const std::int64_t end = last < 0 ? 0 : last / axis.stride + 1;
  return {std::max(range.lo, first), std::min(range.hi, end)};
}

/// Positions of the wide tensor that those of the narrow one in `range` meet by any tap.
[[nodiscard]] inline Range positions_met(const ConvAxis& axis, Range range) {
  const std::int64_t first = range.lo * axis.stride - axis.pad_lo;
  const std::int64_t last =
      (range.hi - 1) * axis.stride - axis.pad_lo + (axis.kernel - 1) * axis.dilation;
  return {std::clamp<std::int64_t>(first, 0, axis.wide),
          std::clamp<std::int64_t>(last + 1, 0, axis.wide)};
}

/// Sums of taps that are collected at a time, 256 KiB: a share of L2. x passes by once for so many, and may come from memory.
inline constexpr std::int64_t kGradWeightBufferFloats = 64 * 1024;

/// The kernel, for f32 without groups and with a multiple of 8 channels of x.
[[nodiscard]] Kernel conv_grad_weight_simd();

}  // namespace hpdlf::codelets
