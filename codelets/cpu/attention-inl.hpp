// What the gradient of attention needs to know of its queries. Compiled once a Highway target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_ATTENTION_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_ATTENTION_INL_HPP
#undef HPDLF_CODELETS_CPU_ATTENTION_INL_HPP
#else
#define HPDLF_CODELETS_CPU_ATTENTION_INL_HPP
#endif

#include <cstdint>

#include "codelets/cpu/attention_blocks.hpp"
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {

/// Of `count` queries of a head from token `first` on: lse, and dlse - dout * out as `correction`.
template <class T>
void load_queries(const KernelArgs& args, std::int64_t n, std::int64_t h, std::int64_t first,
                  std::int64_t count, float* lse, float* correction) {
  const TensorView &out = args.in(1), &dout = args.in(3);
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t t = first + r;
    const T *y = element<T>(out, {n, t, h, 0}), *dy = element<T>(dout, {n, t, h, 0});
    auto dot = hn::Zero(F32());
    for_each_vector(out.extents[3], [&](auto access, std::int64_t j) HWY_ATTR {
      dot = hn::MulAdd(access.load(y + j), access.load(dy + j), dot);
    });
    const float dlse = args.inputs.size() > 4 ? *element<float>(args.in(4), {n, t, h}) : 0.0F;
    lse[r] = *element<float>(args.in(2), {n, t, h});
    correction[r] = dlse - hn::GetLane(hn::SumOfLanes(F32(), dot));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#endif
