// CPU kernels of the random operators. Element i of the whole tensor takes word i % 4 of Philox counter (i / 4, step), so a tile draws
// the numbers of its elements wherever they lie.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/random.cc"
#include <cmath>

#include "base/hash.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/philox-inl.hpp"
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// Elements are zeroed whose upper 24 random bits, as an integer, are below `limit`.
struct Mask {
  std::uint64_t key, step;
  std::int32_t limit;
  float scale;
};

constexpr std::int64_t kChunk = 1024;  // elements a time: their random words stay in L1

/// A run whose elements follow each other in the whole tensor, the first being number `index` there.
void drop_run(const float* x, float* y, std::int64_t n, std::int64_t index, const Mask& mask) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const hn::RebindToUnsigned<F32> du;
  const auto limit = hn::Set(di, mask.limit);
  const auto scale = hn::Set(d, mask.scale);
  HWY_ALIGN std::uint32_t
      words[kChunk + 8 +
            HWY_MAX_BYTES /
                sizeof(float)];  // one started counter at each end, one vector's overrun
  for (std::int64_t begin = 0; begin < n; begin += kChunk) {
    const std::int64_t count = std::min(kChunk, n - begin);
    const std::int64_t first = index + begin;
    const std::int64_t counter = first / 4;
    philox_words(mask.key, static_cast<std::uint64_t>(counter), mask.step,
                 (first + count - 1) / 4 - counter + 1, words);
    const std::uint32_t* word = words + first % 4;
    for_each_vector(count, [&](auto access, std::int64_t i) HWY_ATTR {
      const auto bits = hn::BitCast(di, hn::ShiftRight<8>(hn::LoadU(du, word + i)));
      const auto keep = hn::RebindMask(d, hn::Not(hn::Lt(bits, limit)));
      access.store(hn::IfThenElseZero(keep, hn::Mul(access.load(x + begin + i), scale)),
                   y + begin + i);
    });
  }
}

/// Calls drop_run for the longest runs that are dense in both views and in the whole tensor.
void Dropout(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  const double ratio = args.attrs->real("ratio");
  const Mask mask{.key = Hash()
                             .add(static_cast<std::int64_t>(args.seed))
                             .add(args.attrs->integer("stream"))
                             .value(),
                  .step = static_cast<std::uint64_t>(args.step),
                  .limit = static_cast<std::int32_t>(std::ceil(ratio * 0x1p24)),
                  .scale = static_cast<float>(1 / (1 - ratio))};
  const Extents whole = dense_strides(y.whole);
  int outer = y.rank();  // dimensions before the run
  std::int64_t n = 1;
  while (outer > 0 &&
         (y.extents[outer - 1] == 1 ||
          (x.strides[outer - 1] == n && y.strides[outer - 1] == n && whole[outer - 1] == n)))
    n *= y.extents[--outer];
  Extents at = Extents::filled(outer, 0);
  std::int64_t runs = y.elements() == 0 ? 0 : y.elements() / n;
  for (; runs > 0; --runs) {
    std::int64_t in = 0, out = 0, index = 0;
    for (int i = 0; i < y.rank(); ++i) {
      const std::int64_t p = i < outer ? at[i] : 0;
      in += p * x.strides[i];
      out += p * y.strides[i];
      index += (y.origin[i] + p) * whole[i];
    }
    drop_run(x.as<float>() + in, y.as<float>() + out, n, index, mask);
    for (int i = outer - 1; i >= 0 && ++at[i] == y.extents[i]; --i) at[i] = 0;
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
HWY_EXPORT(Dropout);

/// The gradient applies the forward's mask to dy: the same kernel.
void register_random_cpu(KernelRegistry& registry) {
  registry.add({.op = "Dropout", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Dropout)});
  registry.add({.op = "DropoutGrad", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Dropout)});
}
}  // namespace hpdlf::codelets
#endif
