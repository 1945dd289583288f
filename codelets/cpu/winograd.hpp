// Geometry of one tile of a Winograd convolution, and how its work is blocked. Algorithm, layouts and sources: winograd-inl.hpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>

#include "codelets/cpu/blocks.hpp"
#include "codelets/cpu/cache_size.hpp"
#include "codelets/cpu/conv_tile.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets::winograd {

inline constexpr std::int64_t kTaps = 3;  ///< of the kernel along a transformed axis
/// Inputs that so many outputs of an axis take, and products.
[[nodiscard]] constexpr std::int64_t inputs_of(std::int64_t outputs) { return outputs + kTaps - 1; }
inline constexpr std::int64_t kOut = 4;  ///< outputs of a tile along H, along W: F(4, 3)
inline constexpr std::int64_t kIn = inputs_of(kOut);  ///< inputs of it
inline constexpr std::int64_t kPlane = kIn * kIn;     ///< points of H and W
inline constexpr std::int64_t kPair = 2;              ///< points of D in a pass
inline constexpr std::int64_t kMostTaps = 16;         ///< along D, where the algorithm is direct
inline constexpr std::int64_t kFewTiles = 28;         ///< use a line of weights before it leaves L1
inline constexpr std::int64_t kCachedBytes = std::int64_t{1}
                                             << 19;  ///< a share of L2 for what a block transforms

/// What is done to x while it is read: z = (x - shift) * scale + offset, negative z times `slope`; nothing where shift is nullptr.
struct Normalization {
  const float *shift = nullptr, *scale = nullptr, *offset = nullptr;  ///< one a channel
  std::int64_t sample = 0;  ///< floats from one sample's to the next
  float slope = 1;

  Normalization() = default;
  /// @param coefficients NormalizeCoefficients, [n or 1, 3, c]
  Normalization(const TensorView& coefficients, const Attrs& attrs)
      : shift(coefficients.as<float>()),
        scale(shift + coefficients.strides[1]),
        offset(scale + coefficients.strides[1]),
        sample(coefficients.extents[0] == 1 ? 0 : coefficients.strides[0]) {
    const std::string& activation = attrs.string("activation");
    if (activation == "Relu") slope = 0;
    if (activation == "LeakyRelu") slope = static_cast<float>(attrs.real("alpha"));
  }
  /// Leaves the first `channels` out.
  void skip(std::int64_t channels) {
    if (shift == nullptr) return;
    shift += channels;
    scale += channels;
    offset += channels;
  }
};

/// What H, W and perhaps D are transformed to, [D][H][W]. Where D is transformed there are passes of a pair of points of it, lest a block's
/// transforms outgrow L2.
struct Points {
  std::int64_t depth = 1;  ///< outputs along D that a tile has: 1, D is direct, or 2 or 4
  [[nodiscard]] bool has_pairs() const { return depth > 1; }
  [[nodiscard]] std::int64_t count() const { return passes() * in_pass(); }
  [[nodiscard]] std::int64_t passes() const { return has_pairs() ? inputs_of(depth) / kPair : 1; }
  [[nodiscard]] std::int64_t in_pass() const { return points_of_pass(has_pairs()); }
  [[nodiscard]] static constexpr std::int64_t points_of_pass(bool has_pairs) {
    return has_pairs ? kPair * kPlane : kPlane;
  }
  /// Floats of a tile's points, one line of channels: a line more, lest the tiles of a product fall into the same cache sets.
  [[nodiscard]] std::int64_t tile_floats() const { return floats_of_tile(has_pairs()); }
  [[nodiscard]] static constexpr std::int64_t floats_of_tile(bool has_pairs) {
    return (points_of_pass(has_pairs) + 1) * kLine;
  }
  /// Products along D that are summed for an output, of a kernel with `taps` taps there.
  [[nodiscard]] std::int64_t direct_taps(std::int64_t taps) const { return has_pairs() ? 1 : taps; }
};
[[nodiscard]] inline Points points_from(const Attrs& attrs) {
  return {.depth = attrs.integer("tile_depth")};
}

/// A convolution from x to y (or the pair of which a weight gradient is formed), always in three dimensions. Position o of y reads
/// positions o - pad + tap of x. Both are f32 or both bf16; what is computed is f32. A layer is what a tile has along D: a plane of y, or two or
/// four if D is transformed.
struct Problem {
  void* x = nullptr;
  void* y = nullptr;
  DType dtype = DType::f32;
  std::int64_t n = 1, c = 1, k = 1;
  std::array<ConvAxis, 3> axes{};  ///< wide: x, narrow: y; 2-D: the first has extent 1
  std::int64_t x_sample = 0, y_sample = 0;
  std::array<std::int64_t, 3> x_strides{}, y_strides{};  ///< in elements; channels are dense
  bool is_empty = false;
  Points points;
  Normalization normalization;

  Problem(const TensorView& wide, const TensorView& narrow, const Attrs& attrs)
      : points(points_from(attrs)) {
    const ConvTile tile = conv_tile(wide, narrow, attrs);
    is_empty = tile.is_empty;
    n = narrow.extents[0];
    c = wide.extents.back();
    k = narrow.extents.back();
    x = tile.wide.data;
    y = narrow.data;
    dtype = wide.dtype;
    x_sample = tile.wide.strides[0];
    y_sample = narrow.strides[0];
    for (int i = 0; i < tile.spatial; ++i) {
      const auto at = static_cast<std::size_t>(3 - tile.spatial + i);
      axes[at] = tile.axes[static_cast<std::size_t>(i)];
      x_strides[at] = tile.wide.strides[i + 1];
      y_strides[at] = narrow.strides[i + 1];
    }
  }

  /// The same of channels [c0, c0 + c_count) of x and [k0, k0 + k_count) of y.
  [[nodiscard]] Problem channels(std::int64_t c0, std::int64_t c_count, std::int64_t k0,
                                 std::int64_t k_count) const {
    const auto size = static_cast<std::int64_t>(size_of(dtype));
    Problem part = *this;
    part.x = static_cast<std::byte*>(x) + c0 * size;
    part.y = static_cast<std::byte*>(y) + k0 * size;
    part.c = c_count;
    part.k = k_count;
    part.normalization.skip(c0);
    return part;
  }

  /// Plane `z` of sample `sample` of x; `T` is the element type of x and y.
  template <class T>
  [[nodiscard]] const T* x_plane(std::int64_t sample, std::int64_t z) const {
    return static_cast<const T*>(x) + sample * x_sample + z * x_strides[0];
  }
  template <class T>
  [[nodiscard]] T* y_plane(std::int64_t sample, std::int64_t z) const {
    return static_cast<T*>(y) + sample * y_sample + z * y_strides[0];
  }
  [[nodiscard]] std::int64_t y_bytes() const {
    return n * axes[0].narrow * axes[1].narrow * axes[2].narrow * k *
           static_cast<std::int64_t>(size_of(dtype));
  }
  [[nodiscard]] std::int64_t taps() const { return points.direct_taps(axes[0].kernel); }
  [[nodiscard]] std::int64_t layers() const { return blocks_of(axes[0].narrow, points.depth); }
  [[nodiscard]] std::int64_t tile_rows() const { return blocks_of(axes[1].narrow, kOut); }
  [[nodiscard]] std::int64_t tile_columns() const { return blocks_of(axes[2].narrow, kOut); }
  /// Of a sample.
  [[nodiscard]] std::int64_t tiles() const { return layers() * tile_rows() * tile_columns(); }
  [[nodiscard]] std::int64_t c_lines() const { return blocks_of(c, kLine); }
  [[nodiscard]] std::int64_t k_lines() const { return blocks_of(k, kLine); }
};

/// Operands of WinogradConv (x, u, bias) and NormalizedWinogradConv (x, coefficients, u, bias) by their roles.
struct ConvCall {
  Problem problem;
  const float *weights = nullptr, *bias = nullptr;

  explicit ConvCall(const KernelArgs& args) : problem(args.in(0), args.out(0), *args.attrs) {
    const bool is_normalized = args.attrs->has("activation");
    const int u = is_normalized ? 2 : 1;
    if (is_normalized) problem.normalization = Normalization(args.in(1), *args.attrs);
    weights = args.in(u).as<float>();
    if (static_cast<int>(args.inputs.size()) > u + 1) bias = args.in(u + 1).as<float>();
  }
};

/// What is in flight at a time: `rows` x `columns` tiles in H and W, `layers` along D. Where D is direct, transformed planes of x are kept
/// in slots: a ring that a sweep along D walks, or (the block is the whole sample) one after the other.
struct Blocking {
  std::int64_t rows = 1, columns = 1, layers = 1, slots = 1;
  bool is_whole = false;      ///< one block is a whole sample
  bool joins_layers = false;  ///< tiles of a block's layers follow one another, in x as in y

  /// @param cached_bytes what the transforms of a block may take @param enough tiles it has in any case
  Blocking(const Problem& p, std::int64_t cached_bytes, std::int64_t enough) {
    const std::int64_t all_rows = p.tile_rows(), all_columns = p.tile_columns();
    const std::int64_t depth = p.layers();
    const std::int64_t tile_bytes =
        p.points.tile_floats() * static_cast<std::int64_t>(sizeof(float));
    const auto bytes = [&](std::int64_t tiles, std::int64_t d) {
      return tile_bytes * tiles * (p.c_lines() * (d + p.taps() - 1) + p.k_lines() * d);
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
    joins_layers = is_whole || p.points.has_pairs();
    slots = layers + p.taps() - 1;
    tile = p.points.tile_floats();
    x_line = slots * tiles * tile;
    y_line = layers * tiles * tile;
    x_floats = p.c_lines() * x_line;
    y_floats = p.k_lines() * y_line;
    // Where D is direct: the H-transformed columns of a row of tiles, one line of channels.
    window_floats = kIn * (p.points.has_pairs() ? kPair * kIn : columns * kOut + 2) * kLine;
  }

  std::int64_t tile = 0, x_line = 0,
               y_line =
                   0;  ///< floats from one tile, one line of the transforms of x, y to the next
  std::int64_t x_floats = 0, y_floats = 0;  ///< of a pass's transforms of x and y
  std::int64_t window_floats = 0;           ///< of what is transformed, but not yet along W

  [[nodiscard]] std::int64_t tiles() const { return rows * columns; }
};

/// Of the convolution.
[[nodiscard]] inline Blocking conv_blocking(const Problem& p) {
  return {p, kCachedBytes, kFewTiles};
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
[[nodiscard]] Kernel grad_weight_kernel(bool normalized);

}  // namespace hpdlf::codelets::winograd
