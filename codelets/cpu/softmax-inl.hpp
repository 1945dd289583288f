// Softmax of many short vectors at once: a register holds one element of lanes() vectors, so that nothing is reduced across lanes and
// any number of classes, 2 or 200, fills the registers. Compiled once a Highway target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_SOFTMAX_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_SOFTMAX_INL_HPP
#undef HPDLF_CODELETS_CPU_SOFTMAX_INL_HPP
#else
#define HPDLF_CODELETS_CPU_SOFTMAX_INL_HPP
#endif

#include <algorithm>
#include <cstdint>
#include <limits>

#include "codelets/cpu/math-inl.hpp"
#include "codelets/cpu/simd-inl.hpp"
#include "codelets/cpu/softmax.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;
using VI32 = hn::Vec<I32>;

/// The lanes of a register over memory: lane l at p[l * stride], `n` lanes in use. Loads repeat the last lane beyond; stores leave it out.
class Lanes {
 public:
  HWY_INLINE Lanes(std::int64_t stride, std::int64_t n)
      : stride_(stride),
        n_(n),
        index_(
            hn::Mul(hn::Min(hn::Iota(I32(), 0), hn::Set(I32(), static_cast<std::int32_t>(n - 1))),
                    hn::Set(I32(), static_cast<std::int32_t>(stride)))) {}
  [[nodiscard]] HWY_INLINE std::int64_t stride() const { return stride_; }
  [[nodiscard]] HWY_INLINE std::int64_t count() const { return n_; }
  [[nodiscard]] HWY_INLINE VF32 load(const float* p) const {
    if (stride_ == 1 && n_ == lanes()) return HWY_NAMESPACE::load(p);
    return hn::GatherIndex(F32(), p, index_);
  }
  HWY_INLINE void store(VF32 v, float* p) const {
    if (stride_ == 1 && n_ == lanes()) return HWY_NAMESPACE::store(v, p);
    HWY_ALIGN float buffer[kMaxLanes];
    hn::Store(v, F32(), buffer);
    for (std::int64_t l = 0; l < n_; ++l) p[l * stride_] = buffer[l];
  }

 private:
  std::int64_t stride_, n_;
  VI32 index_;
};

/// body(block, i) for the vectors i, i + 1, ... of a run, lanes() at a time; `lane_stride` is their distance in memory.
template <class Body>
HWY_INLINE void for_each_block(std::int64_t n, std::int64_t lane_stride, const Body& body) {
  const std::int64_t step = lanes();
  const Lanes whole(lane_stride, step);
  std::int64_t i = 0;
  for (; i + step <= n; i += step) body(whole, i);
  if (i < n) body(Lanes(lane_stride, n - i), i);
}

/// scratch[c] = element c of the block, whose elements lie `stride` apart, for c < k; returns the maximum.
HWY_INLINE VF32 load_block(const Lanes& block, const float* x, std::int64_t stride, std::int64_t k,
                           float* scratch) {
  const std::int64_t step = lanes();
  if (block.stride() != 1) {  // transposed by plain loads and stores: faster than gathers here
    for (std::int64_t l = 0; l < step; ++l) {
      const float* vector = x + std::min(l, block.count() - 1) * block.stride();
      for (std::int64_t c = 0; c < k; ++c) scratch[c * step + l] = vector[c * stride];
    }
  }
  auto most = hn::Set(F32(), -std::numeric_limits<float>::infinity());
  for (std::int64_t c = 0; c < k; ++c) {
    if (block.stride() == 1) hn::Store(block.load(x + c * stride), F32(), scratch + c * step);
    most = hn::Max(most, hn::Load(F32(), scratch + c * step));
  }
  return most;
}

/// scratch[c] = exp(scratch[c] - most); returns their sum.
HWY_INLINE VF32 exponentiate_block(VF32 most, std::int64_t k, float* scratch) {
  const std::int64_t step = lanes();
  auto sum = hn::Zero(F32());
  for (std::int64_t c = 0; c < k; ++c) {
    const auto e = exp(hn::Sub(hn::Load(F32(), scratch + c * step), most));
    hn::Store(e, F32(), scratch + c * step);
    sum = hn::Add(sum, e);
  }
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#endif
