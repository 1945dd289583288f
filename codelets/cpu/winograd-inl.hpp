// Winograd's F(4x4, 3x3): four outputs of a 3-tap correlation from six products, along H and along W; D is direct. Compiled once a
// Highway target.
//
//   Y = A^T [ (G g G^T) . (B^T d B) ] A          d: 6x6 inputs, g: 3x3 weights, Y: 4x4 outputs of a tile
//
// The points are 0, +-sqrt(1/2), +-sqrt(2), inf: their transforms' rounding errors are a fifth of those of the usual 0, +-1, +-2, inf.
// Sources: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, sec. 4; points: Barabasz et al., "Error
// Analysis and Improving the Accuracy of Winograd Convolution", ACM TOMS 46(4), 2020.
//
// Layouts, in lines of 16 channels, so that every stride of the inner loops is a constant:
//   transformed x    [point][line of c][slot][tile][16]
//   transformed y    [point][line of k][plane][tile][16]
//   weights          [line of outputs][point][tap along D][input channel][16]
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
#include "codelets/cpu/simd-inl.hpp"
#include "codelets/cpu/winograd.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using codelets::HWY_NAMESPACE::F32;
using codelets::HWY_NAMESPACE::Rest;
using codelets::HWY_NAMESPACE::VF32;
using codelets::HWY_NAMESPACE::Whole;
using codelets::HWY_NAMESPACE::with_storage;

/// Lanes of a vector, known when compiling: a line is a whole number of vectors.
inline constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(F32()));
static_assert(kLine % kLanes == 0);

// ---- one dimension. a = sqrt(1/2), b = sqrt(2): a^2 = 1/2, b^2 = 2, a^2 b^2 = 1, a^2 + b^2 = 5/2

inline constexpr float kA = 0.70710678118654752F, kB = 1.41421356237309505F;

HWY_INLINE VF32 constant(float value) { return hn::Set(F32(), value); }

/// B^T x: 6 -> 6.
HWY_INLINE void transform_input(const VF32* x, VF32* y) {
  const VF32 half = constant(0.5F), two = constant(2), sum = constant(2.5F);
  const VF32 e1 = hn::NegMulAdd(two, x[2], x[4]), o1 = hn::NegMulAdd(two, x[1], x[3]);
  const VF32 e2 = hn::NegMulAdd(half, x[2], x[4]), o2 = hn::NegMulAdd(half, x[1], x[3]);
  y[0] = hn::Add(x[0], hn::NegMulAdd(sum, x[2], x[4]));
  y[1] = hn::MulAdd(constant(kA), o1, e1);
  y[2] = hn::NegMulAdd(constant(kA), o1, e1);
  y[3] = hn::MulAdd(constant(kB), o2, e2);
  y[4] = hn::NegMulAdd(constant(kB), o2, e2);
  y[5] = hn::Add(x[1], hn::NegMulAdd(sum, x[3], x[5]));
}

/// A^T m: 6 -> 4.
HWY_INLINE void transform_output(const VF32* m, VF32* y) {
  const VF32 s1 = hn::Add(m[1], m[2]), d1 = hn::Sub(m[1], m[2]);
  const VF32 s2 = hn::Add(m[3], m[4]), d2 = hn::Sub(m[3], m[4]);
  y[0] = hn::Add(m[0], hn::Add(s1, s2));
  y[1] = hn::MulAdd(constant(kB), d2, hn::Mul(constant(kA), d1));
  y[2] = hn::MulAdd(constant(2), s2, hn::Mul(constant(0.5F), s1));
  y[3] = hn::MulAdd(constant(2 * kB), d2, hn::MulAdd(constant(0.5F * kA), d1, m[5]));
}

/// A y: 4 -> 6, the transpose of transform_output.
HWY_INLINE void transform_output_gradient(const VF32* y, VF32* m) {
  const VF32 half = constant(0.5F), two = constant(2);
  const VF32 e1 = hn::MulAdd(half, y[2], y[0]),
             o1 = hn::Mul(constant(kA), hn::MulAdd(half, y[3], y[1]));
  const VF32 e2 = hn::MulAdd(two, y[2], y[0]),
             o2 = hn::Mul(constant(kB), hn::MulAdd(two, y[3], y[1]));
  m[0] = y[0];
  m[1] = hn::Add(e1, o1);
  m[2] = hn::Sub(e1, o1);
  m[3] = hn::Add(e2, o2);
  m[4] = hn::Sub(e2, o2);
  m[5] = y[3];
}

/// G g: 3 -> 6. Rows (1, p, p^2) / N(p), N(+-a) = -3/2, N(+-b) = 6.
HWY_INLINE void transform_weight(const VF32* g, VF32* u) {
  const VF32 ea = hn::MulAdd(constant(0.5F), g[2], g[0]), eb = hn::MulAdd(constant(2), g[2], g[0]);
  const VF32 oa = hn::Mul(constant(kA), g[1]), ob = hn::Mul(constant(kB), g[1]);
  const VF32 na = constant(-1.0F / 1.5F), nb = constant(1.0F / 6);
  u[0] = g[0];
  u[1] = hn::Mul(na, hn::Add(ea, oa));
  u[2] = hn::Mul(na, hn::Sub(ea, oa));
  u[3] = hn::Mul(nb, hn::Add(eb, ob));
  u[4] = hn::Mul(nb, hn::Sub(eb, ob));
  u[5] = g[2];
}

/// G^T u: 6 -> 3, the transpose of transform_weight.
HWY_INLINE void transform_weight_gradient(const VF32* u, VF32* g) {
  const VF32 na = constant(-1.0F / 1.5F), nb = constant(1.0F / 6);
  const VF32 sa = hn::Mul(na, hn::Add(u[1], u[2])), da = hn::Mul(na, hn::Sub(u[1], u[2]));
  const VF32 sb = hn::Mul(nb, hn::Add(u[3], u[4])), db = hn::Mul(nb, hn::Sub(u[3], u[4]));
  g[0] = hn::Add(u[0], hn::Add(sa, sb));
  g[1] = hn::MulAdd(constant(kB), db, hn::Mul(constant(kA), da));
  g[2] = hn::MulAdd(constant(2), sb, hn::MulAdd(constant(0.5F), sa, u[5]));
}

// ---- x

/// A rectangle of tiles in H and W: what is transformed and multiplied together.
struct TileBlock {
  std::int64_t row0 = 0, column0 = 0, rows = 0, columns = 0;  ///< in tiles
  [[nodiscard]] std::int64_t tiles() const { return rows * columns; }
};

/// body(access, first channel, offset in the line) for each vector of a line that holds some of `channels` channels.
template <class Body>
HWY_INLINE void for_each_vector_of_line(std::int64_t line, std::int64_t channels,
                                        const Body& body) {
  for (std::int64_t v = 0; v < kLine; v += kLanes) {
    const std::int64_t c = line * kLine + v;
    if (c + kLanes <= channels)
      body(Whole{}, c, v);
    else
      body(Rest{std::max<std::int64_t>(0, channels - c)}, c, v);
  }
}

struct AsItIs {
  HWY_INLINE VF32 operator()(VF32 x) const { return x; }
};

/// Normalization of the channels from c on. Not by Max: NaN must stay NaN, or a diverged step would go on unseen.
class Normalized {
 public:
  template <class Access>
  HWY_INLINE Normalized(const Access& access, const Normalization& n, std::int64_t sample,
                        std::int64_t c)
      : shift_(access.load(n.shift + sample * n.sample + c)),
        scale_(access.load(n.scale + sample * n.sample + c)),
        offset_(access.load(n.offset + sample * n.sample + c)),
        slope_(constant(n.slope)) {}
  HWY_INLINE VF32 operator()(VF32 x) const {
    const VF32 z = hn::MulAdd(hn::Sub(x, shift_), scale_, offset_);
    return hn::IfThenElse(hn::Lt(z, hn::Zero(F32())), hn::Mul(slope_, z), z);
  }

 private:
  VF32 shift_, scale_, offset_, slope_;
};

/// Transforms the inputs of a block in one plane of x to `out`: point 0, line 0 of the plane's slot. `line_step`: floats between lines.
template <class T>
class InputTransform {
 public:
  InputTransform(const Problem& p, const Blocking& blocking, std::int64_t line_step, float* strip)
      : p_(p), point_(blocking.x_point), line_step_(line_step), strip_(strip) {}

  void run(std::int64_t sample, const T* plane, const TileBlock& block, float* out) const {
    for (std::int64_t r = 0; r < block.rows; ++r)
      for (std::int64_t line = 0; line < p_.c_lines(); ++line)
        for_each_vector_of_line(
            line, p_.c, [&](auto access, std::int64_t c, std::int64_t v) HWY_ATTR {
              float* to = out + line * line_step_ + r * block.columns * kLine + v;
              if (p_.normalization.shift == nullptr)
                transform_row(access, AsItIs{}, plane + c, block, r, to);
              else
                transform_row(access, Normalized(access, p_.normalization, sample, c), plane + c,
                              block, r, to);
            });
  }

 private:
  template <class Access, class Value>
  HWY_INLINE void transform_row(const Access& access, const Value& value, const T* plane,
                                const TileBlock& block, std::int64_t r, float* out) const {
    const std::int64_t columns = block.columns * kOut + 2;
    transform_columns(access, value, plane, (block.row0 + r) * kOut - p_.axes[1].pad_lo,
                      block.column0 * kOut - p_.axes[2].pad_lo, columns);
    for (std::int64_t i = 0; i < kIn; ++i) {
      const float* HWY_RESTRICT strip = strip_ + i * columns * kLanes;
      float* HWY_RESTRICT o = out + i * kIn * point_;
      for (std::int64_t t = 0; t < block.columns; ++t, o += kLine) {
        VF32 x[kIn], y[kIn];
        for (std::int64_t j = 0; j < kIn; ++j)
          x[j] = hn::Load(F32(), strip + (t * kOut + j) * kLanes);
        transform_input(x, y);
        for (std::int64_t j = 0; j < kIn; ++j) hn::Store(y[j], F32(), o + j * point_);
      }
    }
  }

  /// The transform along H of `columns` columns from (h0, w0) on, to the strip.
  template <class Access, class Value>
  HWY_INLINE void transform_columns(const Access& access, const Value& value, const T* plane,
                                    std::int64_t h0, std::int64_t w0, std::int64_t columns) const {
    const T* rows[kIn];  // nullptr: padding
    for (std::int64_t i = 0; i < kIn; ++i)
      rows[i] = h0 + i >= 0 && h0 + i < p_.axes[1].wide
                    ? plane + (h0 + i) * p_.x_strides[1] + w0 * p_.x_strides[2]
                    : nullptr;
    const std::int64_t lo = std::clamp<std::int64_t>(-w0, 0, columns);
    const std::int64_t hi = std::clamp<std::int64_t>(p_.axes[2].wide - w0, lo, columns);
    for (std::int64_t i = 0; i < kIn; ++i) {
      float* strip = strip_ + i * columns * kLanes;
      std::memset(strip, 0, static_cast<std::size_t>(lo * kLanes) * sizeof(float));
      std::memset(strip + hi * kLanes, 0,
                  static_cast<std::size_t>((columns - hi) * kLanes) * sizeof(float));
    }
    for (std::int64_t q = lo; q < hi; ++q) {
      VF32 x[kIn], y[kIn];
      for (std::int64_t i = 0; i < kIn; ++i)
        x[i] = rows[i] != nullptr ? value(access.load(rows[i] + q * p_.x_strides[2]))
                                  : hn::Zero(F32());
      transform_input(x, y);
      for (std::int64_t i = 0; i < kIn; ++i)
        hn::Store(y[i], F32(), strip_ + (i * columns + q) * kLanes);
    }
  }

  const Problem& p_;
  std::int64_t point_, line_step_;
  float* strip_;
};

// ---- the walk over a tile of the operator

/// Planes [first, first + count) of y in a block of a sample, and the planes [z, z_end) of x that they need besides those of the part before.
struct Part {
  std::int64_t sample = 0;
  TileBlock block;
  std::int64_t first = 0, count = 0, z = 0, z_end = 0;
};

/// Rows of `rows` x `columns` positions in `planes` planes of x or y, from `first` on.
template <class T>
[[nodiscard]] RowsToPrefetch rows_to_prefetch(const T* first,
                                              const std::array<std::int64_t, 3>& strides,
                                              std::int64_t planes, std::int64_t rows,
                                              std::int64_t columns) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  return {.base = reinterpret_cast<const std::byte*>(first),
          .planes = planes,
          .plane_stride = strides[0] * kSize,
          .rows = rows,
          .row_stride = strides[1] * kSize,
          .row_bytes = columns * strides[2] * kSize};
}

/// Transforms x, of type T, where the walk goes and calls `work.planes(part, next, walk)` when the inputs of a part are transformed; `next`
/// is the part after it, or nullptr.
template <class T, class Work>
class Walk {
 public:
  Walk(const Problem& p, const Blocking& blocking, float* x_points, float* strip)
      : p_(p),
        b_(blocking),
        x_points_(x_points),
        transform_(p, blocking, blocking.slots * blocking.tiles() * kLine, strip) {
    const std::int64_t rows = blocks_of(p_.axes[1].narrow, kOut);
    const std::int64_t columns = blocks_of(p_.axes[2].narrow, kOut);
    for (std::int64_t n = 0; n < p_.n; ++n)
      for (std::int64_t r = 0; r < rows; r += b_.rows)
        for (std::int64_t c = 0; c < columns; c += b_.columns)
          add_sweep(n, {r, c, std::min(b_.rows, rows - r), std::min(b_.columns, columns - c)});
  }

  void run(Work& work) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const Part& part = parts_[i];
      for (std::int64_t z = part.z; z < part.z_end; ++z) fill(part.sample, z, part.block);
      work.planes(part, i + 1 < parts_.size() ? &parts_[i + 1] : nullptr, *this);
    }
  }

  /// Where the transformed plane z of x is; nullptr if it is all padding (a ring has no slot for it).
  [[nodiscard]] const float* slot(std::int64_t z, const TileBlock& block) const {
    const std::int64_t at = b_.is_linear ? z + p_.axes[0].pad_lo : z % b_.slots;
    const bool is_padding = z < 0 || z >= p_.axes[0].wide;
    return is_padding && !b_.is_linear ? nullptr : x_points_ + at * block.tiles() * kLine;
  }
  [[nodiscard]] std::int64_t line_step() const { return b_.slots * b_.tiles() * kLine; }

  /// The memory of x that `part` transforms.
  [[nodiscard]] RowsToPrefetch inputs_of(const Part& part) const {
    const auto clipped = [](std::int64_t lo, std::int64_t hi, std::int64_t extent) {
      return std::pair(std::clamp<std::int64_t>(lo, 0, extent),
                       std::clamp<std::int64_t>(hi, 0, extent));
    };
    const auto& [d, h, w] = p_.axes;
    const std::int64_t h0 = part.block.row0 * kOut - h.pad_lo;
    const std::int64_t w0 = part.block.column0 * kOut - w.pad_lo;
    const auto [z_lo, z_hi] = clipped(part.z, part.z_end, d.wide);
    const auto [h_lo, h_hi] = clipped(h0, h0 + part.block.rows * kOut + 2, h.wide);
    const auto [w_lo, w_hi] = clipped(w0, w0 + part.block.columns * kOut + 2, w.wide);
    const T* first =
        p_.x_plane<T>(part.sample, z_lo) + h_lo * p_.x_strides[1] + w_lo * p_.x_strides[2];
    return rows_to_prefetch(first, p_.x_strides, z_hi - z_lo, h_hi - h_lo, w_hi - w_lo);
  }

 private:
  void add_sweep(std::int64_t n, const TileBlock& block) {
    const ConvAxis& d = p_.axes[0];
    std::int64_t z = -d.pad_lo;
    for (std::int64_t first = 0; first < d.narrow; first += b_.planes) {
      const std::int64_t count = std::min(b_.planes, d.narrow - first);
      const std::int64_t z_end = first + count - d.pad_lo + p_.taps() - 1;
      parts_.push_back({n, block, first, count, z, z_end});
      z = z_end;
    }
  }

  void fill(std::int64_t n, std::int64_t z, const TileBlock& block) {
    auto* out = const_cast<float*>(slot(z, block));
    if (z >= 0 && z < p_.axes[0].wide)
      transform_.run(n, p_.x_plane<T>(n, z), block, out);
    else if (out != nullptr)
      for (std::int64_t point = 0; point < kPoints; ++point)
        for (std::int64_t line = 0; line < p_.c_lines(); ++line)
          std::memset(out + point * b_.x_point + line * line_step(), 0,
                      static_cast<std::size_t>(block.tiles() * kLine) * sizeof(float));
  }

  const Problem& p_;
  const Blocking& b_;
  float* x_points_;
  InputTransform<T> transform_;
  std::vector<Part> parts_;
};

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#endif
