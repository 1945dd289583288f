// How the work of a Winograd convolution is blocked, and its operands. Algorithm, layouts and sources: winograd-inl.hpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>

#include "codelets/cpu/cache_size.hpp"
#include "codelets/cpu/winograd_problem.hpp"

namespace hpdlf::codelets::winograd {

inline constexpr std::int64_t kFewTiles = 28;  ///< use a line of weights before it leaves L1
inline constexpr std::int64_t kCachedBytes = std::int64_t{1}
                                             << 19;  ///< a share of L2 for what a block transforms

/// Operands of WinogradConv (x, u, bias), NormalizedWinogradConv (x, coefficients, u, bias) and WinogradConvGradInput (dy, u) by their roles.
struct ConvCall {
  Problem problem;
  const float *weights = nullptr, *bias = nullptr;

  explicit ConvCall(const KernelArgs& args)
      : problem(args.attrs->has("input_shape")
                    ? Problem::gradient(args.out(0), args.in(0), *args.attrs)
                    : Problem(args.in(0), args.out(0), *args.attrs)) {
    const bool is_normalized = args.attrs->has("activation");
    const int u = is_normalized ? 2 : 1;
    if (is_normalized) problem.normalization = Normalization(args.in(1), *args.attrs);
    weights = args.in(u).as<float>();
    if (static_cast<int>(args.inputs.size()) > u + 1) bias = args.in(u + 1).as<float>();
  }
};

/// Floats of a transform in memory, and from one line of channels, one point, one tile of it to the next.
struct TransformLayout {
  std::int64_t floats = 0, line = 0, point = 0, tile = 0;

  /// The points of a tile follow one another.
  static TransformLayout by_tile(const Points& points, std::int64_t lines, std::int64_t tiles) {
    const std::int64_t tile = points.tile_floats(), line = tiles * tile;
    return {.floats = lines * line, .line = line, .point = kLine, .tile = tile};
  }
  /// The tiles of a point do.
  static TransformLayout by_point(const Points& points, std::int64_t lines, std::int64_t tiles) {
    const std::int64_t point = odd_lines(tiles), line = points.in_pass() * point;
    return {.floats = lines * line, .line = line, .point = point, .tile = kLine};
  }
};

/// How a block's transforms lie: as they are written and transformed back, or for products that sum up tiles. Those read a point's tiles
/// one after the other, through few pages.
enum class TransformOrder : std::uint8_t { by_tile, by_point };

/// What is in flight at a time: `rows` x `columns` tiles in H and W, `layers` along D. Where D is direct, transformed planes of x are kept
/// in slots: a ring that a sweep along D walks, or (the block is the whole sample) one after the other.
struct Blocking {
  std::int64_t rows = 1, columns = 1, layers = 1, slots = 1;
  bool is_whole = false;      ///< one block is a whole sample
  bool joins_layers = false;  ///< by_tile: those of a block's layers follow one another, in x
                              ///< as in y, padding as zeros

  /// @param cached_bytes what the transforms of a block may take @param enough tiles it has in any case
  Blocking(const Problem& p, std::int64_t cached_bytes, std::int64_t enough, TransformOrder order) {
    const bool is_by_tile = order == TransformOrder::by_tile;
    const std::int64_t all_rows = p.tile_rows(), all_columns = p.tile_columns();
    const std::int64_t depth = p.layers();
    const std::int64_t tile_bytes =
        p.points.tile_floats() * static_cast<std::int64_t>(sizeof(float));
    const auto bytes = [&](std::int64_t tiles, std::int64_t d) {
      return tile_bytes * tiles * (p.c_lines() * p.planes_of(d) + p.k_lines() * d);
    };
    columns = even(all_columns, enough);
    rows = even(all_rows, std::max<std::int64_t>(1, enough / columns));
    const std::int64_t tiles = rows * columns;
    is_whole =
        rows == all_rows && columns == all_columns && bytes(tiles, depth) <= 8 * cached_bytes;
    layers = 1;
    if (is_whole) {
      layers = depth;
    } else {
      while (layers < depth && tiles * layers < enough) ++layers;
      while (layers < depth && bytes(tiles, layers + 1) <= cached_bytes) ++layers;
    }
    joins_layers = is_by_tile && (p.points.has_pairs() || (is_whole && p.axes[0].stride == 1));
    slots = p.planes_of(layers);
    const auto layout = is_by_tile ? TransformLayout::by_tile : TransformLayout::by_point;
    x = layout(p.points, p.c_lines(), slots * tiles);
    y = layout(p.points, p.k_lines(), layers * tiles);
    // Where D is direct: the H-transformed columns of a row of tiles, one line of channels.
    window_floats =
        p.points.in() * (p.points.has_pairs() ? kPair * kIn : inputs_of(columns * kOut)) * kLine;
  }

  TransformLayout x, y;            ///< of a pass
  std::int64_t window_floats = 0;  ///< of what is transformed, but not yet along W

  [[nodiscard]] std::int64_t tiles() const { return rows * columns; }
};

/// Of the convolution.
[[nodiscard]] inline Blocking conv_blocking(const Problem& p) {
  return {p, kCachedBytes, kFewTiles, TransformOrder::by_tile};
}

/// Transformed weights of one line of 16 output channels, [point][direct tap along D][input channel][16]: floats of a point, with a line of
/// zeros at its end lest all points fall into the same cache sets.
[[nodiscard]] constexpr std::int64_t weight_point(std::int64_t taps, std::int64_t inputs) {
  return (taps * inputs + 1) * kLine;
}

/// Floats of y that a tile's passes sum up.
[[nodiscard]] inline std::int64_t sums_of_tile(const Problem& p) {
  return p.points.has_pairs() ? p.points.depth * kOut * kOut * p.k_lines() * kLine : 0;
}

/// x and y, or x and dy.
[[nodiscard]] inline bool have_dense_channels(const TensorView& x, const TensorView& y) {
  return x.dtype == y.dtype && (x.dtype == DType::f32 || x.dtype == DType::bf16) &&
         x.strides.back() == 1 && y.strides.back() == 1;
}

// The kernels, each in a file of its own; `normalized`: x is normalised while it is read, by coefficients that follow it.
[[nodiscard]] Kernel weights_kernel();
[[nodiscard]] Kernel conv_kernel(bool normalized);
[[nodiscard]] Kernel grad_input_kernel();
[[nodiscard]] Kernel grad_weight_kernel(bool normalized);

}  // namespace hpdlf::codelets::winograd
