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

/// Those of three taps that a kernel, or a phase of one, has along an axis: [kFirst, kEnd). The others are 0, and so are the products at 0, the
/// first point, if it has not the first tap, and those at inf, the last, if it has not the last.
template <std::int64_t kFirst, std::int64_t kEnd>
struct TapRange {
  static constexpr std::int64_t kCount = kEnd - kFirst, kIns = inputs_of(kOut, kCount);
  static constexpr bool kHasZero = kFirst == 0, kHasInf = kEnd == kTaps;
  static constexpr int kFirstPair = kHasZero ? 1 : 0;  ///< the first of the points +-a, +-b
  /// Of the kernel's, the i-th.
  [[nodiscard]] static constexpr std::int64_t tap(std::int64_t i) {
    return kHasZero ? i : kHasInf ? 2 * i : 1;
  }
};
using AllTaps = TapRange<0, kTaps>;
using EvenTaps =
    TapRange<1, kTaps>;          ///< of the even phase of dx where the stride is 2: taps 0 and 2
using OddTaps = TapRange<1, 2>;  ///< of the odd one: tap 1

/// B^T x: 6 -> 6, with two taps 5 -> 5.
template <class Taps>
HWY_INLINE void transform_input(const VF32* x, VF32* y) {
  constexpr int kFirst = Taps::kFirstPair;
  const VF32 half = constant(0.5F), two = constant(2), sum = constant(2.5F);
  const VF32 e1 = hn::NegMulAdd(two, x[kFirst + 1], x[kFirst + 3]),
             o1 = hn::NegMulAdd(two, x[kFirst], x[kFirst + 2]);
  const VF32 e2 = hn::NegMulAdd(half, x[kFirst + 1], x[kFirst + 3]),
             o2 = hn::NegMulAdd(half, x[kFirst], x[kFirst + 2]);
  if constexpr (Taps::kHasZero) y[0] = hn::Add(x[0], hn::NegMulAdd(sum, x[2], x[4]));
  y[kFirst] = hn::MulAdd(constant(kA), o1, e1);
  y[kFirst + 1] = hn::NegMulAdd(constant(kA), o1, e1);
  y[kFirst + 2] = hn::MulAdd(constant(kB), o2, e2);
  y[kFirst + 3] = hn::NegMulAdd(constant(kB), o2, e2);
  y[kFirst + 4] = hn::Add(x[kFirst], hn::NegMulAdd(sum, x[kFirst + 2], x[kFirst + 4]));
}

/// A^T m: 6, 5 or 4 -> 4.
template <class Taps>
HWY_INLINE void transform_output(const VF32* m, VF32* y) {
  constexpr int kFirst = Taps::kFirstPair;
  const VF32 s1 = hn::Add(m[kFirst], m[kFirst + 1]), d1 = hn::Sub(m[kFirst], m[kFirst + 1]);
  const VF32 s2 = hn::Add(m[kFirst + 2], m[kFirst + 3]), d2 = hn::Sub(m[kFirst + 2], m[kFirst + 3]);
  y[0] = hn::Add(s1, s2);
  if constexpr (Taps::kHasZero) y[0] = hn::Add(m[0], y[0]);
  y[1] = hn::MulAdd(constant(kB), d2, hn::Mul(constant(kA), d1));
  y[2] = hn::MulAdd(constant(2), s2, hn::Mul(constant(0.5F), s1));
  y[3] = hn::Mul(constant(0.5F * kA), d1);
  if constexpr (Taps::kHasInf) y[3] = hn::MulAdd(constant(0.5F * kA), d1, m[kFirst + 4]);
  y[3] = hn::MulAdd(constant(2 * kB), d2, y[3]);
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

/// G g: 3 -> 6, 2 -> 5, 1 -> 4. Rows (1, p, p^2) / N(p), N(+-a) = -3/2, N(+-b) = 6.
template <class Taps>
HWY_INLINE void transform_weight(const VF32* g, VF32* u) {
  constexpr int kFirst = Taps::kFirstPair;  // and the middle tap
  const VF32 na = constant(-1.0F / 1.5F), nb = constant(1.0F / 6);
  const VF32 oa = hn::Mul(constant(kA), g[kFirst]), ob = hn::Mul(constant(kB), g[kFirst]);
  VF32 ea = Taps::kHasZero ? g[0] : hn::Zero(F32()), eb = ea;
  if constexpr (Taps::kHasZero) u[0] = g[0];
  if constexpr (Taps::kHasInf) {
    ea = hn::MulAdd(constant(0.5F), g[kFirst + 1], ea);
    eb = hn::MulAdd(constant(2), g[kFirst + 1], eb);
    u[kFirst + 4] = g[kFirst + 1];
  }
  u[kFirst] = hn::Mul(na, hn::Add(ea, oa));
  u[kFirst + 1] = hn::Mul(na, hn::Sub(ea, oa));
  u[kFirst + 2] = hn::Mul(nb, hn::Add(eb, ob));
  u[kFirst + 3] = hn::Mul(nb, hn::Sub(eb, ob));
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
