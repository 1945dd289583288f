// What the hand-written convolutions (conv_grad_weight.cc, conv_transpose.cc) work on: geometry and memory of a tile.
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

/// A tile, always in three dimensions: d, h, w; missing ones have extent 1. Strides in elements, channels are dense.
struct ConvProblem {
  float *wide = nullptr, *narrow = nullptr, *weight = nullptr;
  std::int64_t n = 1, c = 1, k = 1;  ///< channels of wide, of narrow
  std::array<ConvAxis, 3> axes{};
  std::int64_t wide_sample = 0, narrow_sample = 0;
  std::array<std::int64_t, 3> wide_strides{}, narrow_strides{}, weight_strides{};
  std::int64_t weight_k = 0;  ///< from one k of the weight to the next
  bool accumulate = false;

  /// @param of conv_tile() of the two activations @param w [k, taps..., c]
  ConvProblem(const ConvTile& of, const TensorView& w, bool add)
      : wide(static_cast<float*>(of.wide.data)),
        narrow(static_cast<float*>(of.narrow.data)),
        weight(static_cast<float*>(w.data)),
        n(of.is_empty ? 0 : of.wide.extents[0]),
        c(of.wide.extents.back()),
        k(of.narrow.extents.back()),
        wide_sample(of.wide.strides[0]),
        narrow_sample(of.narrow.strides[0]),
        weight_k(w.strides[0]),
        accumulate(add) {
    for (int i = 0; i < of.spatial; ++i) {
      const auto at = static_cast<std::size_t>(3 - of.spatial + i);
      axes[at] = of.axes[static_cast<std::size_t>(i)];
      wide_strides[at] = of.wide.strides[i + 1];
      narrow_strides[at] = of.narrow.strides[i + 1];
      weight_strides[at] = w.strides[i + 1];
    }
  }

  [[nodiscard]] std::int64_t taps() const {
    return axes[0].kernel * axes[1].kernel * axes[2].kernel;
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

/// Of ConvGradWeight: x, dy and what is written, dw.
[[nodiscard]] inline ConvProblem grad_weight_problem(const KernelArgs& args) {
  return {conv_tile(args.in(0), args.in(1), *args.attrs), args.out(0), args.accumulate};
}

/// Sums of taps that are collected at a time, 256 KiB: a share of L2. x passes by once for so many, and may come from memory.
inline constexpr std::int64_t kGradWeightBufferFloats = 64 * 1024;

/// The bias is added once: by the tile that holds the first of the summed channels.
[[nodiscard]] inline const TensorView* bias_of(const KernelArgs& args) {
  const bool has_bias = args.inputs.size() > 2 && args.in(0).origin.back() == 0;
  return has_bias ? &args.in(2) : nullptr;
}

// The kernels, for f32 without groups.

/// Needs a multiple of 8 channels of x.
[[nodiscard]] Kernel conv_grad_weight_simd();
/// Of windows that tile the wide tensor. @param op ConvTranspose or ConvGradInput
[[nodiscard]] Kernel conv_transpose_simd(const char* op);

}  // namespace hpdlf::codelets
