// Geometry of a transposed convolution whose windows tile the wide tensor, and how its work is blocked.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codelets/cpu/conv_problem.hpp"
#include "codelets/cpu/workspace_layout.hpp"

namespace hpdlf::codelets::transpose {

inline constexpr std::int64_t kTiles = 16;  ///< register tiles that meet weights before others do

/// True if every wide position belongs to one window, all of which is in the tile.
[[nodiscard]] inline bool windows_tile(const ConvTile& tile) {
  return std::all_of(tile.axes.begin(), tile.axes.begin() + tile.spatial, [](const ConvAxis& axis) {
    return axis.kernel == axis.stride && axis.dilation == 1 && axis.pad_lo % axis.stride == 0 &&
           axis.wide % axis.stride == 0 && axis.pad_lo + axis.wide <= axis.narrow * axis.stride;
  });
}

[[nodiscard]] inline ConvTile tile_of(const KernelArgs& args) {
  return conv_tile(args.out(0), args.in(0), *args.attrs);
}

/// y[o * stride + tap, c] = bias[c] + sum over k of x[o, k] w[k, tap, c]: a matrix product whose rows are scattered. Where the positions of
/// a window along W lie dense they count as channels of y.
struct Problem : ConvProblem {
  const float* bias = nullptr;
  std::int64_t biases = 1;  ///< c is a multiple of it

  explicit Problem(const KernelArgs& args)
      : ConvProblem(tile_of(args), args.in(1), args.accumulate), biases(c) {
    if (const TensorView* view = bias_of(args)) bias = view->as<float>();
    for (std::size_t i = 0; i < 3; ++i) {  // the windows of other tiles are left out
      narrow += axes[i].pad_lo / axes[i].stride * narrow_strides[i];
      axes[i].narrow = axes[i].wide / axes[i].stride;
      axes[i].pad_lo = 0;
    }
    ConvAxis& w = axes[2];
    if (wide_strides[2] != c || weight_strides[2] != c) return;
    c *= w.stride;
    wide_strides[2] = c;
    w = {.wide = w.narrow, .narrow = w.narrow};
  }

  [[nodiscard]] std::int64_t lines() const { return (c + kLine - 1) / kLine; }
  [[nodiscard]] std::int64_t y_bytes() const {
    return n * axes[0].wide * axes[1].wide * axes[2].wide * c *
           static_cast<std::int64_t>(sizeof(float));
  }
};

/// Parts of the workspace, offsets in bytes.
struct Layout {
  WorkspaceLayout layout;
  std::int64_t weights;  ///< [tap][line of c][k][16]
  std::int64_t bias;     ///< [line of c][16]

  explicit Layout(const Problem& p) {
    constexpr auto kLineBytes = kLine * static_cast<std::int64_t>(sizeof(float));
    weights = layout.add(p.taps() * p.lines() * p.k * kLineBytes);
    bias = layout.add(p.lines() * kLineBytes);
  }
};

}  // namespace hpdlf::codelets::transpose
