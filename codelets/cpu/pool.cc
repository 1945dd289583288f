// CPU kernels of pooling: one window after the other, its taps' channels as vectors.
//
// The gradients scatter: a window adds to the elements it covers, windows in row-major order, so that an element's sum has the same
// order in every tiling. Where bf16 would round it window by window it is formed in f32, in the workspace, and rounded once. MaxPoolGrad
// finds the maximum again instead of keeping indices, which would cost 8 bytes an element.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/pool.cc"
#include <algorithm>
#include <limits>

#include "codelets/cpu/pool_windows.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

using Taps = std::span<const PoolTap>;

/// NaN wins over everything, as in PyTorch.
HWY_INLINE auto beats(VF32 v, VF32 best) { return hn::Or(hn::Gt(v, best), hn::IsNaN(v)); }

HWY_INLINE VF32 lowest() { return hn::Set(F32(), -std::numeric_limits<float>::infinity()); }

template <class T>
void max_pool(const T* x, T* y, std::int64_t channels, Taps taps) {
  for_each_vector(channels, [&](auto access, std::int64_t c) HWY_ATTR {
    VF32 best = lowest();
    for (const PoolTap& tap : taps) {
      const VF32 v = access.load(x + tap.offset[0] + c);
      best = hn::IfThenElse(beats(v, best), v, best);
    }
    access.store(best, y + c);
  });
}

template <class T, class Sum>
void max_pool_grad(const T* x, const T* dy, Sum* dx, std::int64_t channels, Taps taps) {
  // Of a window that reaches nothing of dx the view of x may lack elements.
  if (std::all_of(taps.begin(), taps.end(),
                  [](const PoolTap& tap) { return tap.offset[1] == PoolTap::kOutside; }))
    return;
  for_each_vector(channels, [&](auto access, std::int64_t c) HWY_ATTR {
    VF32 best = lowest();
    VF32 winner = hn::Zero(F32());  // number of the tap, exact in f32
    float number = 0;
    for (const PoolTap& tap : taps) {
      const VF32 v = access.load(x + tap.offset[0] + c);
      const auto wins = beats(v, best);
      best = hn::IfThenElse(wins, v, best);
      winner = hn::IfThenElse(wins, hn::Set(F32(), number++), winner);
    }
    const VF32 g = access.load(dy + c);
    number = 0;
    for (const PoolTap& tap : taps) {
      const auto here = hn::Eq(winner, hn::Set(F32(), number++));
      if (tap.offset[1] == PoolTap::kOutside) continue;
      Sum* p = dx + tap.offset[1] + c;
      access.store(hn::Add(access.load(p), hn::IfThenElseZero(here, g)), p);
    }
  });
}

template <class T>
void average_pool(const T* x, T* y, std::int64_t channels, Taps taps, float scale) {
  for_each_vector(channels, [&](auto access, std::int64_t c) HWY_ATTR {
    VF32 sum = hn::Zero(F32());
    for (const PoolTap& tap : taps) sum = hn::Add(sum, access.load(x + tap.offset[0] + c));
    access.store(hn::Mul(sum, hn::Set(F32(), scale)), y + c);
  });
}

template <class T, class Sum>
void average_pool_grad(const T* dy, Sum* dx, std::int64_t channels, Taps taps, float scale) {
  for_each_vector(channels, [&](auto access, std::int64_t c) HWY_ATTR {
    const VF32 g = hn::Mul(access.load(dy + c), hn::Set(F32(), scale));
    for (const PoolTap& tap : taps) {
      if (tap.offset[0] == PoolTap::kOutside) continue;
      Sum* p = dx + tap.offset[0] + c;
      access.store(hn::Add(access.load(p), g), p);
    }
  });
}

/// 1 / number of elements that a window averages.
float average_scale(const KernelArgs& args, const PoolWindows& windows, Taps taps) {
  const bool all = args.attrs->integer("count_include_pad") != 0;
  return 1.0F / static_cast<float>(all ? windows.taps() : static_cast<std::int64_t>(taps.size()));
}

/// dx = sums, which are f32.
void round_sums(const TensorView& sums, const TensorView& dx) {
  const auto rows = Rows::dense({&sums, &dx});
  rows.for_each([&](const std::int64_t* at) {
    const float* from = sums.as<float>() + at[0];
    bfloat16* to = dx.as<bfloat16>() + at[1];
    for_each_vector(rows.length(), [=](auto access, std::int64_t i)
                                       HWY_ATTR { access.store(access.load(from + i), to + i); });
  });
}

/// scatter(T{}, Sum{}, sums) adds the windows of a gradient to `sums`, of type Sum: dx, or what is rounded to it. T is the operands' type.
template <class Scatter>
void add_windows(const KernelArgs& args, const Scatter& scatter) {
  const TensorView& dx = args.out(0);
  const bool is_rounded = sums_in_f32(dx, *args.attrs);
  TensorView sums = dx;
  if (is_rounded) {
    sums.data = args.workspace.data();
    sums.dtype = DType::f32;
    sums.strides = dense_strides(dx.extents);
  }
  fill_zero(sums);
  with_storage(dx.dtype, [&](auto zero) {
    if (sums.dtype == DType::f32)
      scatter(zero, float{}, sums);
    else
      scatter(zero, zero, sums);
  });
  if (is_rounded) round_sums(sums, dx);
}

void MaxPool(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  with_storage(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    PoolWindows(y, {&x}, *args.attrs).for_each([&](std::int64_t at, Taps taps) {
      max_pool(x.as<T>(), y.as<T>() + at, y.extents.back(), taps);
    });
  });
}

void MaxPoolGrad(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& dy = args.in(1);
  add_windows(args, [&](auto type, auto sum, const TensorView& dx) {
    using T = decltype(type);
    PoolWindows(dy, {&x, &dx}, *args.attrs).for_each([&](std::int64_t at, Taps taps) {
      max_pool_grad(x.as<T>(), dy.as<T>() + at, dx.as<decltype(sum)>(), dx.extents.back(), taps);
    });
  });
}

void AveragePool(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  with_storage(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const PoolWindows windows(y, {&x}, *args.attrs);
    windows.for_each([&](std::int64_t at, Taps taps) {
      average_pool(x.as<T>(), y.as<T>() + at, y.extents.back(), taps,
                   average_scale(args, windows, taps));
    });
  });
}

void AveragePoolGrad(const KernelArgs& args) {
  const TensorView& dy = args.in(0);
  add_windows(args, [&](auto type, auto sum, const TensorView& dx) {
    using T = decltype(type);
    const PoolWindows windows(dy, {&dx}, *args.attrs);
    windows.for_each([&](std::int64_t at, Taps taps) {
      average_pool_grad(dy.as<T>() + at, dx.as<decltype(sum)>(), dx.extents.back(), taps,
                        average_scale(args, windows, taps));
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
HWY_EXPORT(MaxPool);
HWY_EXPORT(MaxPoolGrad);
HWY_EXPORT(AveragePool);
HWY_EXPORT(AveragePoolGrad);

namespace {
std::size_t sum_bytes(const KernelArgs& args) {
  const TensorView& dx = args.out(0);
  return sums_in_f32(dx, *args.attrs) ? static_cast<std::size_t>(dx.elements()) * sizeof(float) : 0;
}
}  // namespace

void register_pool_cpu(KernelRegistry& registry) {
  registry.add({.op = "MaxPool", .variant = "simd", .run = HPDLF_SIMD_KERNEL(MaxPool)});
  registry.add({.op = "MaxPoolGrad",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(MaxPoolGrad),
                .workspace = sum_bytes});
  registry.add({.op = "AveragePool", .variant = "simd", .run = HPDLF_SIMD_KERNEL(AveragePool)});
  registry.add({.op = "AveragePoolGrad",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(AveragePoolGrad),
                .workspace = sum_bytes});
}
}  // namespace hpdlf::codelets
#endif
