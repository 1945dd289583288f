// CPU kernels of Resize: along each dimension an output index is a weighted sum of at most two input indices; the products of these taps
// over the dimensions make the taps of a row. Rows run along the innermost dimension (channels) as vectors unless that is resized itself.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/resize.cc"
#include "codelets/cpu/resize_taps.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

void Resize(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  const ResizeTaps taps(x, y, *args.attrs);
  taps.for_each_row([&](std::int64_t at, std::span<const ResizeTaps::Tap> row) {
    float* out = y.as<float>() + at;
    for_each_vector(taps.row_length(), [&](auto access, std::int64_t i) HWY_ATTR {
      VF32 sum = hn::Zero(F32());
      for (const auto& tap : row)
        sum = hn::MulAdd(hn::Set(F32(), tap.weight), access.load(x.as<float>() + tap.offset + i),
                         sum);
      access.store(sum, out + i);
    });
  });
}

/// Scatters: output rows in row-major order add to the input rows they were made of.
void ResizeGrad(const KernelArgs& args) {
  const TensorView& dy = args.in(0);
  const TensorView& dx = args.out(0);
  fill_zero(dx);
  const ResizeTaps taps(dx, dy, *args.attrs);
  taps.for_each_row([&](std::int64_t at, std::span<const ResizeTaps::Tap> row) {
    const float* in = dy.as<float>() + at;
    for (const auto& tap : row) {
      float* out = dx.as<float>() + tap.offset;
      for_each_vector(taps.row_length(), [&](auto access, std::int64_t i) HWY_ATTR {
        access.store(
            hn::MulAdd(hn::Set(F32(), tap.weight), access.load(in + i), access.load(out + i)),
            out + i);
      });
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
HWY_EXPORT(Resize);
HWY_EXPORT(ResizeGrad);

void register_resize_cpu(KernelRegistry& registry) {
  const auto is_f32 = [](const KernelArgs& args) { return args.in(0).dtype == DType::f32; };
  registry.add(
      {.op = "Resize", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Resize), .supports = is_f32});
  registry.add({.op = "ResizeGrad",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(ResizeGrad),
                .supports = is_f32});
}
}  // namespace hpdlf::codelets
#endif
