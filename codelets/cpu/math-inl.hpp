// Elementary functions on f32 registers. Compiled once a Highway target.
//
// All keep NaN, which Highway's own log and tanh (1 and 4 ULP off) turn into numbers: a diverged step must be seen. exp is our own, with
// half of their operations, because it is most of a softmax.
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

/// Of x <= 88, at most 1.5 ULP off; 0 where the result is below the normal numbers; NaN stays NaN.
/// exp(x) = 2^n exp(r) with n = round(x / ln 2), |r| <= ln(2) / 2, and the polynomial of Moshier's Cephes (expf.c) for exp(r).
HWY_INLINE VF32 exp(VF32 x) {
  const hn::RebindToUnsigned<F32> du;
  constexpr double kExponentBias = 127, kLeast = -87.3365;
  // Adding 1.5 * 2^23 rounds to an integer and leaves n + bias in the lowest bits: the exponent of 2^n.
  const auto magic = number(12582912 + kExponentBias);
  const auto shifted = hn::MulAdd(x, number(1.44269504088896341), magic);
  const auto n = hn::Sub(shifted, magic);
  const auto power = hn::BitCast(F32(), hn::ShiftLeft<23>(hn::BitCast(du, shifted)));
  // ln 2 in two parts, the first exact in few bits.
  const auto r = hn::NegMulAdd(n, number(-2.12194440e-4), hn::NegMulAdd(n, number(0.693359375), x));
  auto p = number(1.9875691500e-4);
  for (const double c :
       {1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1})
    p = hn::MulAdd(p, r, number(c));
  const auto e = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), number(1));
  return hn::IfThenZeroElse(hn::Lt(x, number(kLeast)), hn::Mul(e, power));
}
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
