// The passes of Winograd's kernels, and what they do along D. Compiled once a Highway target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_WINOGRAD_PASSES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_WINOGRAD_PASSES_INL_HPP
#undef HPDLF_CODELETS_CPU_WINOGRAD_PASSES_INL_HPP
#else
#define HPDLF_CODELETS_CPU_WINOGRAD_PASSES_INL_HPP
#endif

#include "codelets/cpu/winograd_transforms-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {

/// A pass of tiles with kDepth outputs along D. It has a pair of points of D: the first 0 and inf, the others p and -p, that is sqrt(1/2) and
/// sqrt(2), or with two outputs 1. Where D is direct it is the only one, or has a phase of dx.
template <std::int64_t kDepth, int kIndex, class TapsAlongH = AllTaps, class TapsAlongW = AllTaps>
struct Pass {
  using TapsH = TapsAlongH;
  using TapsW = TapsAlongW;
  static constexpr Points kPoints = {.depth = kDepth, .stride = TapsH::kHasZero ? 1 : 2};
  static constexpr bool kIsPhase = kPoints.stride == 2;
  static constexpr bool kIsOddH = kIsPhase && kIndex / 2 == 1,
                        kIsOddW = kIsPhase && kIndex % 2 == 1;
  static constexpr std::int64_t kOuts = kDepth, kIns = inputs_of(kDepth);
  static constexpr int kNumber = kIndex;
  static constexpr bool kIsFirst = kIndex == 0, kIsLast = kIndex + 1 == kPoints.passes();
  static constexpr std::int64_t kFirstPoint = kIndex * kPoints.in_pass();
  static constexpr std::int64_t kProducts =
      kIsPhase ? TapsH::kIns * TapsW::kIns : kPoints.in_pass();
  /// False for points at inf of odd phases.
  [[nodiscard]] static constexpr bool has_product(std::int64_t point) {
    return !kIsPhase || (point / kPoints.in() < TapsH::kIns && point % kPoints.in() < TapsW::kIns);
  }
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

/// The same for the phases of dx.
template <class Body>
void for_each_phase(const Body& body) {
  body(Pass<1, 0, EvenTaps, EvenTaps>());
  body(Pass<1, 1, EvenTaps, OddTaps>());
  body(Pass<1, 2, OddTaps, EvenTaps>());
  body(Pass<1, 3, OddTaps, OddTaps>());
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
    transform_weight<AllTaps>(g, points);
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

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#endif
