// What the Winograd kernels do to single vectors: the transforms of one dimension, and reading x. Compiled once a Highway target.
//
// The points of four outputs are 0, +-sqrt(1/2), +-sqrt(2), inf: their transforms' rounding errors are a fifth of those of the usual 0, +-1,
// +-2, inf. Those of two outputs, which D may have, are 0, +-1, inf.
// Source: Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution", ACM TOMS 46(4), 2020.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_WINOGRAD_TRANSFORMS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_WINOGRAD_TRANSFORMS_INL_HPP
#undef HPDLF_CODELETS_CPU_WINOGRAD_TRANSFORMS_INL_HPP
#else
#define HPDLF_CODELETS_CPU_WINOGRAD_TRANSFORMS_INL_HPP
#endif

#include <algorithm>

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

// ---- along D: passes of a pair of points. The first has 0 and inf, the others p and -p: sqrt(1/2) and sqrt(2), or with two outputs 1

/// A pass of tiles with kDepth outputs along D; the only one where that is direct.
template <std::int64_t kDepth, int kIndex>
struct Pass {
  static constexpr std::int64_t kOuts = kDepth, kIns = inputs_of(kDepth);
  static constexpr int kNumber = kIndex;
  static constexpr bool kIsFirst = kIndex == 0,
                        kIsLast = kDepth == 1 || kPair * (kIndex + 1) == kIns;
  static constexpr float kPoint = kDepth == 2 ? 1 : kIndex == 1 ? kA : kB;  ///< p
  static constexpr float kWeight = kDepth == 2   ? 0.5F
                                   : kIndex == 1 ? -1.0F / 1.5F
                                                 : 1.0F / 6;  ///< 1 / N(p), as in transform_weight
};

/// body(Pass) for all passes in their order.
template <class Body>
void for_each_pass(const Points& points, const Body& body) {
  if (points.depth == 1) return body(Pass<1, 0>());
  if (points.depth == 2) {
    body(Pass<2, 0>());
    return body(Pass<2, 1>());
  }
  body(Pass<4, 0>());
  body(Pass<4, 1>());
  body(Pass<4, 2>());
}

/// The two rows of B^T; `load(i)` gives input i.
template <class Pass, class Load>
HWY_INLINE void transform_input_pair(const Load& load, VF32* y) {
  constexpr bool kIsShort = Pass::kOuts == 2;
  if constexpr (Pass::kIsFirst && kIsShort) {
    y[0] = hn::Sub(load(2), load(0));
    y[1] = hn::Sub(load(3), load(1));
  } else if constexpr (Pass::kIsFirst) {
    const VF32 sum = constant(2.5F);
    y[0] = hn::Add(load(0), hn::NegMulAdd(sum, load(2), load(4)));
    y[1] = hn::Add(load(1), hn::NegMulAdd(sum, load(3), load(5)));
  } else if constexpr (kIsShort) {
    y[0] = hn::Add(load(2), load(1));
    y[1] = hn::Sub(load(2), load(1));
  } else {
    constexpr float kP = Pass::kPoint;
    const VF32 other = constant(1 / (kP * kP)), p = constant(kP);  // the square of the other pair
    const VF32 e = hn::NegMulAdd(other, load(2), load(4));
    const VF32 o = hn::NegMulAdd(other, load(1), load(3));
    y[0] = hn::MulAdd(p, o, e);
    y[1] = hn::NegMulAdd(p, o, e);
  }
}

/// The two rows of A; `load(i)` gives output i.
template <class Pass, class Load>
HWY_INLINE void transform_output_gradient_pair(const Load& load, VF32* m) {
  if constexpr (Pass::kIsFirst) {
    m[0] = load(0);
    m[1] = load(Pass::kOuts - 1);
  } else {
    VF32 e = load(0), o = load(1);
    if constexpr (Pass::kOuts > 2) {
      const VF32 square = constant(Pass::kPoint * Pass::kPoint);
      e = hn::MulAdd(square, load(2), e);
      o = hn::Mul(constant(Pass::kPoint), hn::MulAdd(square, load(3), o));
    }
    m[0] = hn::Add(e, o);
    m[1] = hn::Sub(e, o);
  }
}

/// Point of transform_weight and its transpose that is the i-th in the order of passes.
inline constexpr std::int64_t kPointOf[kIn] = {0, 5, 1, 2, 3, 4};

/// G g, in the order of passes: 3 -> kDepth + 2.
template <std::int64_t kDepth>
HWY_INLINE void transform_weight_depth(const VF32* g, VF32* u) {
  if constexpr (kDepth == 2) {
    const VF32 half = constant(0.5F), e = hn::Mul(half, hn::Add(g[0], g[2]));
    u[0] = hn::Neg(g[0]);
    u[1] = g[2];
    u[2] = hn::MulAdd(half, g[1], e);
    u[3] = hn::NegMulAdd(half, g[1], e);
  } else {
    VF32 points[kIn];
    transform_weight(g, points);
    for (std::int64_t i = 0; i < kIn; ++i) u[i] = points[kPointOf[i]];
  }
}

/// G^T u, the transpose.
template <std::int64_t kDepth>
HWY_INLINE void transform_weight_depth_gradient(const VF32* u, VF32* g) {
  if constexpr (kDepth == 2) {
    const VF32 half = constant(0.5F), e = hn::Mul(half, hn::Add(u[2], u[3]));
    g[0] = hn::Sub(e, u[0]);
    g[1] = hn::Mul(half, hn::Sub(u[2], u[3]));
    g[2] = hn::Add(e, u[1]);
  } else {
    VF32 points[kIn];
    for (std::int64_t i = 0; i < kIn; ++i) points[kPointOf[i]] = u[i];
    transform_weight_gradient(points, g);
  }
}

// ---- x

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

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#endif
