// A Winograd convolution of one tile: its geometry, what it is transformed to. Algorithm and sources: winograd-inl.hpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <utility>

#include "base/window.hpp"
#include "codelets/cpu/blocks.hpp"
#include "codelets/cpu/conv_tile.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets::winograd {

inline constexpr std::int64_t kTaps = 3;       ///< of the kernel along a transformed axis
inline constexpr std::int64_t kPhaseTaps = 2;  ///< of a phase of it, where the stride is 2
/// Inputs that so many outputs of an axis take, and products.
[[nodiscard]] constexpr std::int64_t inputs_of(std::int64_t outputs, std::int64_t taps = kTaps) {
  return outputs + taps - 1;
}
inline constexpr std::int64_t kOut = 4;  ///< outputs of a tile along H, along W: F(4, 3)
inline constexpr std::int64_t kIn = inputs_of(kOut);  ///< inputs of it
inline constexpr std::int64_t kPlane = kIn * kIn;     ///< points of H and W
inline constexpr std::int64_t kPair = 2;              ///< points of D in a pass

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

/// Floats of so many lines or one more: an odd number of them, lest what is so far apart fall into the same cache sets.
[[nodiscard]] constexpr std::int64_t odd_lines(std::int64_t lines) { return (lines | 1) * kLine; }

/// What H, W and perhaps D are transformed to, pass by pass. Where D is transformed a pass has a pair of points of it, [D][H][W], lest a
/// block's transforms outgrow L2. Of the gradient by x with a stride of 2 in H and W a pass has a phase of dx, [H][W]: its even or its odd
/// positions along either axis, which are convolutions of dy by two taps or by one.
struct Points {
  std::int64_t depth = 1;   ///< outputs along D that a tile has: 1, D is direct, or 2 or 4
  std::int64_t stride = 1;  ///< 2 only where D is direct
  [[nodiscard]] constexpr bool has_pairs() const { return depth > 1; }
  [[nodiscard]] constexpr std::int64_t count() const { return passes() * in_pass(); }
  [[nodiscard]] constexpr std::int64_t passes() const {
    return has_pairs() ? inputs_of(depth) / kPair : stride * stride;
  }
  /// Along H, along W: two taps need fewer.
  [[nodiscard]] constexpr std::int64_t in() const {
    return stride == 1 ? kIn : inputs_of(kOut, kPhaseTaps);
  }
  [[nodiscard]] constexpr std::int64_t in_pass() const {
    return (has_pairs() ? kPair : 1) * in() * in();
  }
  /// Floats of a tile's points, one line of channels.
  [[nodiscard]] constexpr std::int64_t tile_floats() const { return odd_lines(in_pass()); }
  /// Products along D that are summed for an output, of a kernel with `taps` taps there.
  [[nodiscard]] std::int64_t direct_taps(std::int64_t taps) const { return has_pairs() ? 1 : taps; }
};

/// A convolution from x to y (or the pair of which a weight gradient is formed), always in three dimensions. Position o of y reads
/// positions o - pad + tap of x. Both are f32 or both bf16; what is computed is f32. A layer is what a tile has along D: a plane of y, or two or
/// four if D is transformed.
///
/// Of gradient() x is dy and y is dx. Layer z reads the planes (z - pad + tap) / stride of dy where that is whole. Output i along H or W
/// reads positions i - pad and i - pad + 1 of dy, and is two positions of dx: one of the odd phase, then one of the even.
struct Problem {
  void* x = nullptr;
  void* y = nullptr;
  DType dtype = DType::f32;
  std::int64_t n = 1, c = 1, k = 1;
  std::array<ConvAxis, 3> axes{};  ///< wide: x, narrow: y; 2-D: the first has extent 1
  std::int64_t x_sample = 0, y_sample = 0;
  std::array<std::int64_t, 3> x_strides{}, y_strides{};  ///< in elements; channels are dense
  std::int64_t y_height = 1, y_width = 1;
  std::int64_t even_h = 0, even_w = 0;  ///< of gradient(): the first positions of even phases
  bool is_empty = false;
  Points points;
  Normalization normalization;

  Problem(const TensorView& wide, const TensorView& narrow, const Attrs& attrs) {
    const ConvTile tile = conv_tile(wide, narrow, attrs);
    set_views(tile.wide, narrow);
    is_empty = tile.is_empty;
    for (int i = 0; i < tile.spatial; ++i)
      axes[static_cast<std::size_t>(3 - tile.spatial + i)] = tile.axes[static_cast<std::size_t>(i)];
    points.depth = attrs.integer("tile_depth");
  }
  /// The gradient by x of a convolution whose stride in H and W is 2.
  static Problem gradient(const TensorView& dx, const TensorView& dy, const Attrs& attrs) {
    Problem p;
    p.set_views(dy, dx);
    p.points.stride = 2;
    const int spatial = dx.rank() - 2;
    const Windows windows = windows_from(attrs, spatial);
    for (int i = 0; i < spatial; ++i) {
      const Window& window = windows[static_cast<std::size_t>(i)];
      const int at = 3 - spatial + i;
      const std::int64_t wide = dx.extents[i + 1], narrow = dy.extents[i + 1];
      const std::int64_t pad = dx.origin[i + 1] - window.first(dy.origin[i + 1]);
      ConvAxis& axis = p.axes[static_cast<std::size_t>(at)];
      axis = {.wide = narrow, .narrow = wide, .kernel = window.kernel, .stride = window.stride};
      axis.pad_lo = window.kernel - 1 - pad;
      p.is_empty |= wide <= 0 || narrow <= 0;
      if (at == 0) continue;
      // The even position 2 o - pad and the odd one before it are output o; the first with a position in dx is output 0 of a tile.
      const std::int64_t first = floor_div(pad + 1, 2), last = floor_div(wide + pad, 2);
      axis.narrow = last - first + 1;
      axis.pad_lo = 1 - first;
      (at == 1 ? p.even_h : p.even_w) = 2 * first - pad;
    }
    return p;
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
  [[nodiscard]] bool is_gradient() const { return points.stride > 1; }
  [[nodiscard]] std::int64_t y_bytes() const {
    return n * axes[0].narrow * y_height * y_width * k * static_cast<std::int64_t>(size_of(dtype));
  }
  [[nodiscard]] std::int64_t taps() const { return points.direct_taps(axes[0].kernel); }
  [[nodiscard]] std::int64_t layers() const { return blocks_of(axes[0].narrow, points.depth); }
  /// Planes [first, second) of x that layers [first_layer, end) read; some may lie outside of x.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> planes_of(std::int64_t first_layer,
                                                                std::int64_t end) const {
    const ConvAxis& d = axes[0];
    const std::int64_t first = first_layer * points.depth - d.pad_lo;
    const std::int64_t last = end * points.depth - 1 - d.pad_lo + d.kernel - 1;
    return {-floor_div(-first, d.stride), floor_div(last, d.stride) + 1};
  }
  /// Those that are transformed for so many layers: all that they read, or if D is transformed as many.
  [[nodiscard]] std::int64_t planes_of(std::int64_t some_layers) const {
    const ConvAxis& d = axes[0];
    return points.has_pairs() ? some_layers : (some_layers + d.kernel - 2) / d.stride + 1;
  }
  /// The plane of x that a tap along D brings to a layer, where D is direct; -1 if it is padding or between two planes.
  [[nodiscard]] std::int64_t plane_of(std::int64_t layer, std::int64_t tap) const {
    const ConvAxis& d = axes[0];
    const std::int64_t at = layer - d.pad_lo + tap;
    return at >= 0 && at % d.stride == 0 && at / d.stride < d.wide ? at / d.stride : -1;
  }
  [[nodiscard]] std::int64_t tile_rows() const { return blocks_of(axes[1].narrow, kOut); }
  [[nodiscard]] std::int64_t tile_columns() const { return blocks_of(axes[2].narrow, kOut); }
  /// Of a sample.
  [[nodiscard]] std::int64_t tiles() const { return layers() * tile_rows() * tile_columns(); }
  [[nodiscard]] std::int64_t c_lines() const { return blocks_of(c, kLine); }
  [[nodiscard]] std::int64_t k_lines() const { return blocks_of(k, kLine); }

 private:
  Problem() = default;

  void set_views(const TensorView& from, const TensorView& to) {
    n = to.extents[0];
    c = from.extents.back();
    k = to.extents.back();
    x = from.data;
    y = to.data;
    dtype = from.dtype;
    x_sample = from.strides[0];
    y_sample = to.strides[0];
    const int spatial = to.rank() - 2;
    for (int i = 0; i < spatial; ++i) {
      const auto at = static_cast<std::size_t>(3 - spatial + i);
      x_strides[at] = from.strides[i + 1];
      y_strides[at] = to.strides[i + 1];
    }
    y_height = to.extents[spatial - 1];
    y_width = to.extents[spatial];
  }
};

}  // namespace hpdlf::codelets::winograd
