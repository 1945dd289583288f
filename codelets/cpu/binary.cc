// Elementwise arithmetic on the CPU. Operands of equal extents, scalars and one number a channel (the usual broadcasts) run at the
// speed of memory; other broadcasts row by row. Formulas: graph/ops/binary.cc.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/binary.cc"
#include <vector>

#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

struct AddFunction {
  HWY_INLINE VF32 operator()(VF32 a, VF32 b) const { return hn::Add(a, b); }
};
struct SubFunction {
  HWY_INLINE VF32 operator()(VF32 a, VF32 b) const { return hn::Sub(a, b); }
};
struct MulFunction {
  HWY_INLINE VF32 operator()(VF32 a, VF32 b) const { return hn::Mul(a, b); }
};
struct DivFunction {
  HWY_INLINE VF32 operator()(VF32 a, VF32 b) const { return hn::Div(a, b); }
};
/// The operands change places.
template <class Function>
struct Swapped {
  HWY_INLINE VF32 operator()(VF32 a, VF32 b) const { return Function()(b, a); }
};

/// `view` with the extents of `y`: repeated dimensions have stride 0.
TensorView broadcast(const TensorView& view, const TensorView& y) {
  TensorView v = y;
  v.data = view.data;
  const int missing = y.rank() - view.rank();
  for (int i = 0; i < y.rank(); ++i)
    v.strides[i] = i < missing || view.extents[i - missing] == 1 ? 0 : view.strides[i - missing];
  return v;
}

/// Repeated over all dimensions but the last, from dimension `first` on: one number a channel.
bool is_per_channel(const TensorView& v, int first) {
  std::int64_t repetitions = 1;
  for (int i = first; i + 1 < v.rank(); ++i) {
    if (v.strides[i] != 0 && v.extents[i] != 1) return false;
    repetitions *= v.extents[i];
  }
  return v.rank() > first && v.strides[v.rank() - 1] == 1 && repetitions > 1;
}

/// y = f(x, channels) where `channels` is_per_channel(.., 0).
template <class T, class Function>
void with_channels(const TensorView& x, const TensorView& channels, const TensorView& y,
                   Function f) {
  const ChannelPattern pattern(y.extents.back());
  const auto numbers = pattern.expand(
      [&](std::int64_t c) { return static_cast<float>(static_cast<const T*>(channels.data)[c]); });
  const float* number = numbers.data();
  const auto rows = Rows::dense({&x, &y});
  rows.for_each([&](const std::int64_t* at) {
    const T* in = x.as<T>() + at[0];
    T* out = y.as<T>() + at[1];
    pattern.for_each_vector(rows.length(),
                            [=](auto access, std::int64_t i, std::int64_t j) HWY_ATTR {
                              access.store(f(access.load(in + i), load(number + j)), out + i);
                            });
  });
}

/// y = f(a, b) for any strides.
template <class T, class Function>
void row_by_row(const TensorView& a, const TensorView& b, const TensorView& y, Function f) {
  const Rows rows({&a, &b, &y});
  const std::int64_t a_step = rows.stride(0), b_step = rows.stride(1), y_step = rows.stride(2);
  const bool is_vector =
      y_step == 1 && (a_step == 0 || a_step == 1) && (b_step == 0 || b_step == 1);
  rows.for_each([&](const std::int64_t* at) {
    const T *p = a.as<T>() + at[0], *q = b.as<T>() + at[1];
    T* out = y.as<T>() + at[2];
    if (!is_vector) {
      for (std::int64_t i = 0; i < rows.length(); ++i) {
        const Rest one{1};
        one.store(f(one.load(p + i * a_step), one.load(q + i * b_step)), out + i * y_step);
      }
      return;
    }
    const auto a0 = hn::Set(F32(), static_cast<float>(*p)),
               b0 = hn::Set(F32(), static_cast<float>(*q));
    for_each_vector(rows.length(), [=](auto access, std::int64_t i) HWY_ATTR {
      const auto u = a_step == 0 ? a0 : access.load(p + i);
      const auto v = b_step == 0 ? b0 : access.load(q + i);
      access.store(f(u, v), out + i);
    });
  });
}

template <class T, class Function>
void binary(const TensorView& a, const TensorView& b, const TensorView& y, Function f) {
  const bool a_repeats = is_per_channel(a, 0), b_repeats = is_per_channel(b, 0);
  if (b_repeats && !a_repeats && a.strides[a.rank() - 1] == 1) return with_channels<T>(a, b, y, f);
  if (a_repeats && !b_repeats && b.strides[b.rank() - 1] == 1)
    return with_channels<T>(b, a, y, Swapped<Function>());
  if (y.rank() > 2 &&
      (is_per_channel(a, 1) || is_per_channel(b, 1))) {  // one number a sample and channel
    for (std::int64_t n = 0; n < y.extents[0]; ++n)
      binary<T>(at_index(a, 0, n), at_index(b, 0, n), at_index(y, 0, n), f);
    return;
  }
  row_by_row<T>(a, b, y, f);
}

template <class Function>
void run_binary(const KernelArgs& args, Function f) {
  const TensorView& y = args.out(0);
  const TensorView a = broadcast(args.in(0), y), b = broadcast(args.in(1), y);
  with_storage(y.dtype, [&](auto type) { binary<decltype(type)>(a, b, y, f); });
}

void Add(const KernelArgs& args) { run_binary(args, AddFunction()); }
void Sub(const KernelArgs& args) { run_binary(args, SubFunction()); }
void Mul(const KernelArgs& args) { run_binary(args, MulFunction()); }
void Div(const KernelArgs& args) { run_binary(args, DivFunction()); }

/// out[i] = x[0][i] + x[1][i] + ... over a dense run.
template <class T>
void sum_run(const std::vector<const T*>& x, T* out, std::int64_t n) {
  for_each_vector(n, [&](auto access, std::int64_t i) HWY_ATTR {
    auto sum = access.load(x[0] + i);
    for (std::size_t k = 1; k < x.size(); ++k) sum = hn::Add(sum, access.load(x[k] + i));
    access.store(sum, out + i);
  });
}
void sum_run(const std::vector<const double*>& x, double* out, std::int64_t n) {
  const F64 d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    auto sum = hn::LoadU(d, x[0] + i);
    for (std::size_t k = 1; k < x.size(); ++k) sum = hn::Add(sum, hn::LoadU(d, x[k] + i));
    hn::StoreU(sum, d, out + i);
  }
  for (; i < n; ++i) {
    double sum = x[0][i];
    for (std::size_t k = 1; k < x.size(); ++k) sum += x[k][i];
    out[i] = sum;
  }
}

template <class T>
void sum_views(const KernelArgs& args) {
  std::vector<const TensorView*> views;
  for (const auto& x : args.inputs) views.push_back(&x);
  views.push_back(&args.out(0));
  const auto rows = Rows::dense(views);
  std::vector<const T*> x(args.inputs.size());
  rows.for_each([&](const std::int64_t* at) {
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = args.inputs[k].as<T>() + at[k];
    sum_run(x, args.out(0).as<T>() + at[x.size()], rows.length());
  });
}

void Sum(const KernelArgs& args) {
  if (args.out(0).dtype == DType::f64) return sum_views<double>(args);
  with_storage(args.out(0).dtype, [&](auto type) { sum_views<decltype(type)>(args); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {

HWY_EXPORT(Add);
HWY_EXPORT(Sub);
HWY_EXPORT(Mul);
HWY_EXPORT(Div);
HWY_EXPORT(Sum);

void register_binary_cpu(KernelRegistry& registry) {
  registry.add({.op = "Add", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Add)});
  registry.add({.op = "Sub", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Sub)});
  registry.add({.op = "Mul", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Mul)});
  registry.add({.op = "Div", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Div)});
  registry.add({.op = "Sum", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Sum)});
}

}  // namespace hpdlf::codelets
#endif
