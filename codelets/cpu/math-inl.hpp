// Elementary functions on f32 registers. Compiled once a Highway target.
//
// Highway's exp and log (at most 1 ULP off) turn NaN into numbers; these keep it, so that a diverged step is seen.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_MATH_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_MATH_INL_HPP
#undef HPDLF_CODELETS_CPU_MATH_INL_HPP
#else
#define HPDLF_CODELETS_CPU_MATH_INL_HPP
#endif

#include "codelets/cpu/simd-inl.hpp"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {

HWY_INLINE VF32 number(double v) { return hn::Set(F32(), static_cast<float>(v)); }

/// Of x <= 88.7; 0 below -104.
HWY_INLINE VF32 exp(VF32 x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(F32(), x)); }
/// Of x >= 0.
HWY_INLINE VF32 log(VF32 x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Log(F32(), x)); }
HWY_INLINE VF32 tanh(VF32 x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(F32(), x)); }

/// 1 / (1 + exp(-x)).
HWY_INLINE VF32 sigmoid(VF32 x) {
  const auto least = number(-88);  // exp(88) is still finite
  const auto e = exp(hn::Neg(hn::IfThenElse(hn::Lt(x, least), least, x)));
  return hn::Div(number(1), hn::Add(number(1), e));
}

/// erfc(a) of a >= 0 with a fractional error below 1.2e-7 (before rounding): Press et al., Numerical Recipes in C, 2nd ed., sec. 6.2.
HWY_INLINE VF32 erfc_positive(VF32 a) {
  constexpr double kCoefficients[] = {0.17087277, -0.82215223, 1.48851587, -1.13520398,
                                      0.27886807, -0.18628806, 0.09678418, 0.37409196,
                                      1.00002368, -1.26551223};
  const auto t = hn::Div(number(1), hn::MulAdd(a, number(0.5), number(1)));
  auto p = number(kCoefficients[0]);
  for (int i = 1; i < 10; ++i) p = hn::MulAdd(p, t, number(kCoefficients[i]));
  return hn::Mul(t, exp(hn::NegMulAdd(a, a, p)));
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#endif
