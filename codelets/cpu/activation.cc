// Elementwise functions of one operand and their gradients on the CPU: one pass, f32 in registers. Formulas: graph/ops/activation.cc.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/activation.cc"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/activation-inl.hpp"
#include "codelets/cpu/math-inl.hpp"
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

struct NegFunction {
  HWY_INLINE VF32 value(VF32 x) const { return hn::Neg(x); }
};

struct SigmoidFunction {
  HWY_INLINE VF32 value(VF32 x) const { return sigmoid(x); }
  HWY_INLINE VF32 gradient(VF32 y, VF32 dy) const { return hn::Mul(dy, hn::NegMulAdd(y, y, y)); }
};

struct TanhFunction {
  HWY_INLINE VF32 value(VF32 x) const { return tanh(x); }
  HWY_INLINE VF32 gradient(VF32 y, VF32 dy) const { return hn::NegMulAdd(hn::Mul(y, y), dy, dy); }
};

struct GeluFunction {
  /// Phi(x), from erfc on the side where nothing cancels.
  static HWY_INLINE VF32 phi(VF32 x) {
    const auto tail =
        hn::Mul(number(0.5), erfc_positive(hn::Mul(hn::Abs(x), number(0.70710678118654752))));
    return hn::IfThenElse(hn::Lt(x, hn::Zero(F32())), tail, hn::Sub(number(1), tail));
  }
  HWY_INLINE VF32 value(VF32 x) const { return hn::Mul(x, phi(x)); }
  /// dy * (Phi(x) + x * density(x))
  HWY_INLINE VF32 gradient(VF32 x, VF32 dy) const {
    const auto density =
        hn::Mul(number(0.39894228040143268), exp(hn::Mul(number(-0.5), hn::Mul(x, x))));
    return hn::Mul(dy, hn::MulAdd(x, density, phi(x)));
  }
};

/// y = x s, s = (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)), u = sqrt(2/pi) (x + 0.044715 x^3)
struct GeluTanhFunction {
  static constexpr double kTwoRootTwoOverPi = 1.5957691216057308, kCubic = 0.044715;
  static HWY_INLINE VF32 scale(VF32 x) {
    const auto xx = hn::Mul(x, x);
    const auto twice_u =
        hn::Mul(x, hn::MulAdd(xx, number(kTwoRootTwoOverPi * kCubic), number(kTwoRootTwoOverPi)));
    return sigmoid(twice_u);
  }
  HWY_INLINE VF32 value(VF32 x) const { return hn::Mul(x, scale(x)); }
  /// dy * (s + x s (1 - s) d(2u)/dx)
  HWY_INLINE VF32 gradient(VF32 x, VF32 dy) const {
    const auto s = scale(x);
    const auto slope = hn::MulAdd(hn::Mul(x, x), number(3 * kTwoRootTwoOverPi * kCubic),
                                  number(kTwoRootTwoOverPi));
    return hn::Mul(dy, hn::MulAdd(hn::Mul(x, slope), hn::NegMulAdd(s, s, s), s));
  }
};

/// y = function(x)
template <class Function>
void map(const KernelArgs& args, const Function& function) {
  const TensorView &x = args.in(0), &y = args.out(0);
  const auto rows = Rows::dense({&x, &y});
  with_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    rows.for_each([&](const std::int64_t* at) {
      const T* in = x.as<T>() + at[0];
      T* out = y.as<T>() + at[1];
      for_each_vector(rows.length(), [=](auto access, std::int64_t i) HWY_ATTR {
        access.store(function.value(access.load(in + i)), out + i);
      });
    });
  });
}

/// dx = function'(from) * dy
template <class Function>
void map_gradient(const KernelArgs& args, const Function& function) {
  const TensorView &from = args.in(0), &dy = args.in(1), &dx = args.out(0);
  const auto rows = Rows::dense({&from, &dy, &dx});
  with_storage(from.dtype, [&](auto type) {
    using T = decltype(type);
    rows.for_each([&](const std::int64_t* at) {
      const T *in = from.as<T>() + at[0], *gradient = dy.as<T>() + at[1];
      T* out = dx.as<T>() + at[2];
      for_each_vector(rows.length(), [=](auto access, std::int64_t i) HWY_ATTR {
        access.store(function.gradient(access.load(in + i), access.load(gradient + i)), out + i);
      });
    });
  });
}

bool is_tanh(const KernelArgs& args) { return args.attrs->string("approximate") == "tanh"; }

void Relu(const KernelArgs& args) { map(args, ReluFunction()); }
void ReluGrad(const KernelArgs& args) { map_gradient(args, ReluFunction()); }
void LeakyRelu(const KernelArgs& args) { map(args, LeakyReluFunction(*args.attrs)); }
void LeakyReluGrad(const KernelArgs& args) { map_gradient(args, LeakyReluFunction(*args.attrs)); }
void Sigmoid(const KernelArgs& args) { map(args, SigmoidFunction()); }
void SigmoidGrad(const KernelArgs& args) { map_gradient(args, SigmoidFunction()); }
void Tanh(const KernelArgs& args) { map(args, TanhFunction()); }
void TanhGrad(const KernelArgs& args) { map_gradient(args, TanhFunction()); }
void Gelu(const KernelArgs& args) {
  is_tanh(args) ? map(args, GeluTanhFunction()) : map(args, GeluFunction());
}
void GeluGrad(const KernelArgs& args) {
  is_tanh(args) ? map_gradient(args, GeluTanhFunction()) : map_gradient(args, GeluFunction());
}
void Neg(const KernelArgs& args) { map(args, NegFunction()); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {

HWY_EXPORT(Relu);
HWY_EXPORT(ReluGrad);
HWY_EXPORT(LeakyRelu);
HWY_EXPORT(LeakyReluGrad);
HWY_EXPORT(Sigmoid);
HWY_EXPORT(SigmoidGrad);
HWY_EXPORT(Tanh);
HWY_EXPORT(TanhGrad);
HWY_EXPORT(Gelu);
HWY_EXPORT(GeluGrad);
HWY_EXPORT(Neg);

void register_activation_cpu(KernelRegistry& registry) {
  registry.add({.op = "Relu", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Relu)});
  registry.add({.op = "ReluGrad", .variant = "simd", .run = HPDLF_SIMD_KERNEL(ReluGrad)});
  registry.add({.op = "LeakyRelu", .variant = "simd", .run = HPDLF_SIMD_KERNEL(LeakyRelu)});
  registry.add({.op = "LeakyReluGrad", .variant = "simd", .run = HPDLF_SIMD_KERNEL(LeakyReluGrad)});
  registry.add({.op = "Sigmoid", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Sigmoid)});
  registry.add({.op = "SigmoidGrad", .variant = "simd", .run = HPDLF_SIMD_KERNEL(SigmoidGrad)});
  registry.add({.op = "Tanh", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Tanh)});
  registry.add({.op = "TanhGrad", .variant = "simd", .run = HPDLF_SIMD_KERNEL(TanhGrad)});
  registry.add({.op = "Gelu", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Gelu)});
  registry.add({.op = "GeluGrad", .variant = "simd", .run = HPDLF_SIMD_KERNEL(GeluGrad)});
  registry.add({.op = "Neg", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Neg)});
}

}  // namespace hpdlf::codelets
#endif
