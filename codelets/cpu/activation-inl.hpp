// The activations that Normalize fuses, on registers: value, and gradient from the sign of argument or value (they agree).
// Compiled once a Highway target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_ACTIVATION_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_ACTIVATION_INL_HPP
#undef HPDLF_CODELETS_CPU_ACTIVATION_INL_HPP
#else
#define HPDLF_CODELETS_CPU_ACTIVATION_INL_HPP
#endif

#include <string>

#include "base/attrs.hpp"
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {

struct Identity {
  HWY_INLINE VF32 value(VF32 z) const { return z; }
  HWY_INLINE VF32 gradient(VF32 /*z*/, VF32 dy) const { return dy; }
};

/// Not Max(z, 0): that would turn NaN into 0 and hide a diverged step.
struct ReluFunction {
  HWY_INLINE VF32 value(VF32 z) const { return hn::IfThenZeroElse(hn::Lt(z, hn::Zero(F32())), z); }
  HWY_INLINE VF32 gradient(VF32 z, VF32 dy) const {
    return hn::IfThenElseZero(hn::Gt(z, hn::Zero(F32())), dy);
  }
};

struct LeakyReluFunction {
  VF32 alpha;  // >= 0, so that value and argument agree in sign
  explicit LeakyReluFunction(const Attrs& attrs)
      : alpha(hn::Set(F32(), static_cast<float>(attrs.real("alpha")))) {}
  HWY_INLINE VF32 value(VF32 z) const {
    return hn::IfThenElse(hn::Gt(z, hn::Zero(F32())), z, hn::Mul(alpha, z));
  }
  HWY_INLINE VF32 gradient(VF32 z, VF32 dy) const {
    return hn::IfThenElse(hn::Gt(z, hn::Zero(F32())), dy, hn::Mul(alpha, dy));
  }
};

/// f(function) for the attribute `activation`: "" | "Relu" | "LeakyRelu" (with `alpha`).
template <class F>
void with_activation(const Attrs& attrs, const F& f) {
  const std::string& name = attrs.string("activation");
  if (name.empty()) return f(Identity{});
  if (name == "Relu") return f(ReluFunction{});
  if (name == "LeakyRelu") return f(LeakyReluFunction(attrs));
  throw Error(fmt::format("activation `{}` cannot be fused; \"\", Relu and LeakyRelu can", name));
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#endif
