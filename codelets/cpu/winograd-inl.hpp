// Winograd's F(4x4, 3x3), F(2x4x4, 3x3x3) and F(4x4x4, 3x3x3): four outputs of a 3-tap correlation from six products, along H and along W;
// along D two from four or four from six, or D is direct. Compiled once a Highway target.
//
//   Y = A^T [ (G g G^T) . (B^T d B) ] A          d: 6x6 inputs, g: 3x3 weights, Y: 4x4 outputs of a tile; likewise in three dimensions
//
// Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, sec. 4.
//
// The gradient by x of a convolution with stride 2 in H and W is four such, by dx's even and odd positions along either axis: taps 0 and 2
// reach even ones, tap 1 odd ones. Three taps whose first is 0 need no product at 0, and a middle one alone none at inf either. So five, or four,
// products give four outputs, and all four phases read the same transform of dy: 81 products for 64 positions, 144 if done directly.
//
// Layouts, in lines of 16 channels, so that every stride of the products' inner loops is a constant:
//   transformed x    [line of c][slot or layer][tile][point][16], for weight gradients [line of c][point][slot or layer][tile][16]
//   transformed y    [line of k][layer][tile][point][16], dy [line of k][point][layer][tile][16]
//   weights          [line of outputs][phase][point][direct tap along D][input channel][16]
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_WINOGRAD_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_WINOGRAD_INL_HPP
#undef HPDLF_CODELETS_CPU_WINOGRAD_INL_HPP
#else
#define HPDLF_CODELETS_CPU_WINOGRAD_INL_HPP
#endif

#include <cstring>
#include <utility>
#include <vector>

#include "codelets/cpu/prefetch.hpp"
#include "codelets/cpu/winograd_passes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {

/// A rectangle of tiles in H and W: what is transformed and multiplied together.
struct TileBlock {
  std::int64_t row0 = 0, column0 = 0, rows = 0, columns = 0;  ///< in tiles
  [[nodiscard]] std::int64_t tiles() const { return rows * columns; }
};

/// What of a tile is inside of y: less than whole at its end, and odd phases may begin before it.
struct TileExtent {
  std::int64_t planes, height, width, row0 = 0, column0 = 0;
};

/// body(number of the tile in the block, its first position, extent) for the tiles of a layer of y that begins at `plane`.
template <class Pass, class T, class Body>
HWY_INLINE void for_each_tile(const Problem& p, const TileBlock& block, std::int64_t planes,
                              T* plane, const Body& body) {
  constexpr std::int64_t kStep = Pass::kPoints.stride;  // between outputs
  const std::int64_t first_h = p.even_h - (Pass::kIsOddH ? 1 : 0);
  const std::int64_t first_w = p.even_w - (Pass::kIsOddW ? 1 : 0);
  for (std::int64_t r = 0; r < block.rows; ++r)
    for (std::int64_t c = 0; c < block.columns; ++c) {
      const std::int64_t h = first_h + (block.row0 + r) * kOut * kStep;
      const std::int64_t w = first_w + (block.column0 + c) * kOut * kStep;
      const TileExtent extent{planes, std::min(kOut, blocks_of(p.y_height - h, kStep)),
                              std::min(kOut, blocks_of(p.y_width - w, kStep)), h < 0 ? 1 : 0,
                              w < 0 ? 1 : 0};
      body(r * block.columns + c, plane + h * p.y_strides[1] + w * p.y_strides[2], extent);
    }
}

/// Transforms the inputs of a block in one plane of x to `out`: tile 0, line 0 of the plane's slot.
template <class T>
class PlaneTransform {
 public:
  PlaneTransform(const Problem& p, const Blocking& blocking, float* strip)
      : p_(p), b_(blocking), strip_(strip) {}

  template <class Pass>
  void run(std::int64_t sample, const T* plane, const TileBlock& block, float* out) const {
    for (std::int64_t r = 0; r < block.rows; ++r)
      for (std::int64_t line = 0; line < p_.c_lines(); ++line)
        for_each_vector_of_line(
            line, p_.c, [&](auto access, std::int64_t c, std::int64_t v) HWY_ATTR {
              float* to = out + line * b_.x.line + r * block.columns * b_.x.tile + v;
              if (p_.normalization.shift == nullptr)
                transform_row<Pass>(access, AsItIs{}, plane + c, block, r, to);
              else
                transform_row<Pass>(access, Normalized(access, p_.normalization, sample, c),
                                    plane + c, block, r, to);
            });
  }

 private:
  template <class Pass, class Access, class Value>
  HWY_INLINE void transform_row(const Access& access, const Value& value, const T* plane,
                                const TileBlock& block, std::int64_t r, float* out) const {
    using Taps = typename Pass::TapsH;  // as along W: of a phase this is the first pass only
    const std::int64_t columns = inputs_of(block.columns * kOut, Taps::kCount), point = b_.x.point;
    transform_columns<Taps>(access, value, plane, (block.row0 + r) * kOut - p_.axes[1].pad_lo,
                            block.column0 * kOut - p_.axes[2].pad_lo, columns);
    for (std::int64_t i = 0; i < Taps::kIns; ++i) {
      const float* HWY_RESTRICT strip = strip_ + i * columns * kLanes;
      float* HWY_RESTRICT o = out + i * Taps::kIns * point;
      for (std::int64_t t = 0; t < block.columns; ++t, o += b_.x.tile) {
        VF32 x[Taps::kIns], y[Taps::kIns];
        for (std::int64_t j = 0; j < Taps::kIns; ++j)
          x[j] = hn::Load(F32(), strip + (t * kOut + j) * kLanes);
        transform_input<Taps>(x, y);
        for (std::int64_t j = 0; j < Taps::kIns; ++j) hn::Store(y[j], F32(), o + j * point);
      }
    }
  }

  /// The transform along H of `columns` columns from (h0, w0) on, to the strip.
  template <class Taps, class Access, class Value>
  HWY_INLINE void transform_columns(const Access& access, const Value& value, const T* plane,
                                    std::int64_t h0, std::int64_t w0, std::int64_t columns) const {
    constexpr std::int64_t kIns = Taps::kIns;
    const T* rows[kIns];  // nullptr: padding
    for (std::int64_t i = 0; i < kIns; ++i)
      rows[i] = h0 + i >= 0 && h0 + i < p_.axes[1].wide
                    ? plane + (h0 + i) * p_.x_strides[1] + w0 * p_.x_strides[2]
                    : nullptr;
    const std::int64_t lo = std::clamp<std::int64_t>(-w0, 0, columns);
    const std::int64_t hi = std::clamp<std::int64_t>(p_.axes[2].wide - w0, lo, columns);
    for (std::int64_t i = 0; i < kIns; ++i) {
      float* strip = strip_ + i * columns * kLanes;
      std::memset(strip, 0, static_cast<std::size_t>(lo * kLanes) * sizeof(float));
      std::memset(strip + hi * kLanes, 0,
                  static_cast<std::size_t>((columns - hi) * kLanes) * sizeof(float));
    }
    for (std::int64_t q = lo; q < hi; ++q) {
      VF32 x[kIns], y[kIns];
      for (std::int64_t i = 0; i < kIns; ++i)
        x[i] = rows[i] != nullptr ? value(access.load(rows[i] + q * p_.x_strides[2]))
                                  : hn::Zero(F32());
      transform_input<Taps>(x, y);
      for (std::int64_t i = 0; i < kIns; ++i)
        hn::Store(y[i], F32(), strip_ + (i * columns + q) * kLanes);
    }
  }

  const Problem& p_;
  const Blocking& b_;
  float* strip_;
};

/// Transforms the inputs of a block in a layer's planes of x to a pass's points, at `out`: tile 0, line 0 of the layer. Along a row of tiles
/// a window of six columns, transformed along D and H, moves on by four.
template <class T>
class LayerTransform {
 public:
  LayerTransform(const Problem& p, const Blocking& blocking, float* window)
      : p_(p), b_(blocking), window_(window) {}

  /// @param z  the first of the planes; it may lie outside of x, as any of them
  template <class Pass>
  void run(std::int64_t sample, std::int64_t z, const TileBlock& block, float* out) const {
    for (std::int64_t r = 0; r < block.rows; ++r)
      for (std::int64_t line = 0; line < p_.c_lines(); ++line)
        for_each_vector_of_line(
            line, p_.c, [&](auto access, std::int64_t c, std::int64_t v) HWY_ATTR {
              const T* x = p_.x_plane<T>(sample, 0) + c;
              float* to = out + line * b_.x.line + r * block.columns * b_.x.tile + v;
              if (p_.normalization.shift == nullptr)
                transform_row<Pass>(access, AsItIs{}, x, z, block, r, to);
              else
                transform_row<Pass>(access, Normalized(access, p_.normalization, sample, c), x, z,
                                    block, r, to);
            });
  }

 private:
  template <class Pass>
  using Rows = const T * [Pass::kIns][kIn];           // [plane][row] at column 0; nullptr: padding
  static constexpr std::int64_t kRows = kPair * kIn;  // of the window: points of D and H

  template <class Pass, class Access, class Value>
  HWY_INLINE void transform_row(const Access& access, const Value& value, const T* x,
                                std::int64_t z, const TileBlock& block, std::int64_t r,
                                float* out) const {
    const auto& [d, h, w] = p_.axes;
    const std::int64_t h0 = (block.row0 + r) * kOut - h.pad_lo;
    const std::int64_t w0 = block.column0 * kOut - w.pad_lo;
    Rows<Pass> rows;
    for (std::int64_t i = 0; i < Pass::kIns; ++i)
      for (std::int64_t j = 0; j < kIn; ++j)
        rows[i][j] = z + i >= 0 && z + i < d.wide && h0 + j >= 0 && h0 + j < h.wide
                         ? x + (z + i) * p_.x_strides[0] + (h0 + j) * p_.x_strides[1]
                         : nullptr;
    for (std::int64_t t = 0; t < block.columns; ++t) {
      const std::int64_t q0 = t * kOut;
      for (std::int64_t q = t == 0 ? 0 : q0 + kIn - kOut; q < q0 + kIn; ++q) {
        float* to = window_ + q % kIn * kLanes;
        if (w0 + q >= 0 && w0 + q < w.wide)
          transform_column<Pass>(access, value, rows, (w0 + q) * p_.x_strides[2], to);
        else
          for (std::int64_t i = 0; i < kRows; ++i)
            hn::Store(hn::Zero(F32()), F32(), to + i * kIn * kLanes);
      }
      transform_window(q0, out + t * b_.x.tile);
    }
  }

  /// Along D and H: a vector a row of the window.
  template <class Pass, class Access, class Value>
  static HWY_INLINE void transform_column(const Access& access, const Value& value,
                                          const Rows<Pass>& rows, std::int64_t offset,
                                          float* HWY_RESTRICT to) {
    VF32 half[kPair][kIn];  // [point along D][row]
    for (std::int64_t j = 0; j < kIn; ++j) {
      VF32 y[kPair];
      transform_input_pair<Pass>(
          [&](std::int64_t i) HWY_ATTR {
            return rows[i][j] != nullptr ? value(access.load(rows[i][j] + offset))
                                         : hn::Zero(F32());
          },
          y);
      for (std::int64_t i = 0; i < kPair; ++i) half[i][j] = y[i];
    }
    for (std::int64_t i = 0; i < kPair; ++i) {
      VF32 y[kIn];
      transform_input<AllTaps>(half[i], y);
      for (std::int64_t j = 0; j < kIn; ++j)
        hn::Store(y[j], F32(), to + (i * kIn + j) * kIn * kLanes);
    }
  }

  /// Along W, of the window whose first column is q0.
  HWY_INLINE void transform_window(std::int64_t q0, float* HWY_RESTRICT out) const {
    const float* columns[kIn];
    for (std::int64_t j = 0; j < kIn; ++j) columns[j] = window_ + (q0 + j) % kIn * kLanes;
    const std::int64_t point = b_.x.point;
    for (std::int64_t i = 0; i < kRows; ++i, out += kIn * point) {
      VF32 x[kIn], y[kIn];
      for (std::int64_t j = 0; j < kIn; ++j) x[j] = hn::Load(F32(), columns[j] + i * kIn * kLanes);
      transform_input<AllTaps>(x, y);
      for (std::int64_t j = 0; j < kIn; ++j) hn::Store(y[j], F32(), out + j * point);
    }
  }

  const Problem& p_;
  const Blocking& b_;
  float* window_;
};

// ---- the walk over a tile of the operator

/// Layers [first, first + count) of y in a block of a sample, and the planes [z, z_end) of x that they need besides those of the part before.
struct Part {
  std::int64_t sample = 0;
  TileBlock block;
  std::int64_t first = 0, count = 0, z = 0, z_end = 0;
};

/// Transforms x, of type T, where the walk goes and calls `work.run(Pass, part, next, walk)` when the inputs of a part are transformed to a
/// pass's points; `next` is the part after it in the last pass, or nullptr.
template <class T, class Work>
class Walk {
 public:
  Walk(const Problem& p, const Blocking& blocking, float* x_points, float* window)
      : p_(p),
        b_(blocking),
        x_points_(x_points),
        planes_(p, blocking, window),
        layers_(p, blocking, window) {
    const std::int64_t rows = p_.tile_rows();
    const std::int64_t columns = p_.tile_columns();
    for (std::int64_t n = 0; n < p_.n; ++n)
      for (std::int64_t r = 0; r < rows; r += b_.rows)
        for (std::int64_t c = 0; c < columns; c += b_.columns)
          add_sweep(n, {r, c, std::min(b_.rows, rows - r), std::min(b_.columns, columns - c)});
  }

  void run(Work& work) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const Part& part = parts_[i];
      const Part* next = i + 1 < parts_.size() ? &parts_[i + 1] : nullptr;
      const auto run_pass = [&](auto pass) {
        transform(pass, part);
        work.run(pass, part, pass.kIsLast ? next : nullptr, *this);
      };
      if constexpr (Work::kHasPhases)
        if (p_.is_gradient()) {
          for_each_phase(run_pass);
          continue;
        }
      for_each_pass(p_.points, run_pass);
    }
  }

  /// Transformed x that a direct tap along D brings to layer `layer` of the part; nullptr if it is all padding.
  [[nodiscard]] const float* factor(const Part& part, std::int64_t layer, std::int64_t tap) const {
    if (p_.points.has_pairs()) return x_points_ + layer * part.block.tiles() * b_.x.tile;
    const std::int64_t z = p_.plane_of(part.first + layer, tap);
    return z < 0 ? nullptr : slot(z, part.block);
  }
  /// The same of all layers, where they are joined: padding is there as zeros.
  [[nodiscard]] const float* joined_factor(const Part& part, std::int64_t tap) const {
    return x_points_ + tap * part.block.tiles() * b_.x.tile;
  }

  /// The memory of x that `part` transforms.
  [[nodiscard]] RowsToPrefetch inputs_of(const Part& part) const {
    const auto clipped = [](std::int64_t lo, std::int64_t hi, std::int64_t extent) {
      return std::pair(std::clamp<std::int64_t>(lo, 0, extent),
                       std::clamp<std::int64_t>(hi, 0, extent));
    };
    const auto& [d, h, w] = p_.axes;
    const std::int64_t more = p_.points.in() - kOut;  // than outputs
    const std::int64_t h0 = part.block.row0 * kOut - h.pad_lo;
    const std::int64_t w0 = part.block.column0 * kOut - w.pad_lo;
    const auto [z_lo, z_hi] = clipped(part.z, part.z_end, d.wide);
    const auto [h_lo, h_hi] = clipped(h0, h0 + part.block.rows * kOut + more, h.wide);
    const auto [w_lo, w_hi] = clipped(w0, w0 + part.block.columns * kOut + more, w.wide);
    const T* first =
        p_.x_plane<T>(part.sample, z_lo) + h_lo * p_.x_strides[1] + w_lo * p_.x_strides[2];
    return rows_to_prefetch(first, p_.x_strides, z_hi - z_lo, h_hi - h_lo, w_hi - w_lo);
  }

 private:
  void add_sweep(std::int64_t n, const TileBlock& block) {
    std::int64_t done = p_.planes_of(0, 1).first;
    for (std::int64_t first = 0; first < p_.layers(); first += b_.layers) {
      const std::int64_t count = std::min(b_.layers, p_.layers() - first);
      const auto [z, z_end] = p_.planes_of(first, first + count);
      parts_.push_back({n, block, first, count, std::max(z, done), z_end});
      done = std::max(z_end, done);
    }
  }

  /// The inputs of a part that a pass takes: where D is direct, those that the part before has not.
  template <class Pass>
  void transform(Pass, const Part& part) {
    if constexpr (Pass::kOuts == 1) {
      if constexpr (Pass::kIsFirst)  // of all phases: they read the same
        for (std::int64_t z = part.z; z < part.z_end; ++z) fill<Pass>(part.sample, z, part.block);
    } else {
      for (std::int64_t l = 0; l < part.count; ++l)
        layers_.template run<Pass>(part.sample, (part.first + l) * Pass::kOuts - p_.axes[0].pad_lo,
                                   part.block, x_points_ + l * part.block.tiles() * b_.x.tile);
    }
  }

  /// Where the transformed plane z of x is. The ring has no room for padding.
  [[nodiscard]] float* slot(std::int64_t z, const TileBlock& block) const {
    const std::int64_t at = b_.is_whole ? z - p_.planes_of(0, 1).first : z % b_.slots;
    return x_points_ + at * block.tiles() * b_.x.tile;
  }

  template <class Pass>
  void fill(std::int64_t n, std::int64_t z, const TileBlock& block) {
    float* out = slot(z, block);
    if (z >= 0 && z < p_.axes[0].wide)
      planes_.template run<Pass>(n, p_.x_plane<T>(n, z), block, out);
    else if (b_.joins_layers)
      for (std::int64_t line = 0; line < p_.c_lines(); ++line)
        std::memset(out + line * b_.x.line, 0,
                    static_cast<std::size_t>(block.tiles() * b_.x.tile) * sizeof(float));
  }

  const Problem& p_;
  const Blocking& b_;
  float* x_points_;
  PlaneTransform<T> planes_;
  LayerTransform<T> layers_;
  std::vector<Part> parts_;
};

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#endif
