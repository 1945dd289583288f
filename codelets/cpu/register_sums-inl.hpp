// The sums of a small matrix product, in registers. Compiled once a Highway target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_REGISTER_SUMS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_REGISTER_SUMS_INL_HPP
#undef HPDLF_CODELETS_CPU_REGISTER_SUMS_INL_HPP
#else
#define HPDLF_CODELETS_CPU_REGISTER_SUMS_INL_HPP
#endif

#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {

/// Rows of a few vectors; a row is kRow floats from the next in memory. Loops are unrolled from the start, lest the compiler keep the sums in
/// memory too.
template <std::int64_t kRow, int kRows, int kVectors>
struct RegisterSums {
  VF32 of[kRows][kVectors];

  HWY_INLINE void clear() {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) of[r][v] = hn::Zero(F32());
  }
  /// Adds to `out`, or is the first to write it.
  HWY_INLINE void flush(float* HWY_RESTRICT out, std::int64_t out_vector, bool is_first) const {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        float* to = out + r * kRow + v * out_vector;
        hn::Store(is_first ? of[r][v] : hn::Add(of[r][v], hn::Load(F32(), to)), F32(), to);
      }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#endif
