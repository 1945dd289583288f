// Philox4x32-10 a vector of counters at a time: the numbers of base/philox.hpp, compiled once a Highway target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_PHILOX_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_PHILOX_INL_HPP
#undef HPDLF_CODELETS_CPU_PHILOX_INL_HPP
#else
#define HPDLF_CODELETS_CPU_PHILOX_INL_HPP
#endif

#include <cstdint>

#include "base/philox.hpp"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {

/// Words of counters (low, high), (low + 1, high), ... of Philox(key), four a counter, to `words` in their usual order.
/// @param counters  any number; room for 4 * counters words.
inline void philox_words(std::uint64_t key, std::uint64_t low, std::uint64_t high,
                         std::int64_t counters, std::uint32_t* HWY_RESTRICT words) {
#if HWY_TARGET == HWY_SCALAR  // has no multiplication of halves
  const Philox philox(key);
  for (std::int64_t i = 0; i < counters; ++i)
    for (const std::uint32_t word : philox(low + static_cast<std::uint64_t>(i), high))
      *words++ = word;
#else
  namespace hn = hwy::HWY_NAMESPACE;
  // Each 64-bit lane holds one 32-bit word in its lower half; MulEven reads nothing else, so the upper half may be anything.
  const hn::ScalableTag<std::uint64_t> d64;
  const hn::Repartition<std::uint32_t, decltype(d64)> d32;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d64));
  const auto low_half = hn::Set(d64, 0xffffffffULL);
  const auto product = [&](auto v, std::uint64_t factor) HWY_ATTR {
    return hn::MulEven(hn::BitCast(d32, v), hn::BitCast(d32, hn::Set(d64, factor)));
  };
  HWY_ALIGN std::uint64_t rest[2 * HWY_MAX_BYTES / sizeof(std::uint64_t)];
  for (std::int64_t i = 0; i < counters; i += step) {
    const auto counter = hn::Iota(d64, low + static_cast<std::uint64_t>(i));
    auto c0 = counter;
    auto c1 = hn::ShiftRight<32>(counter);
    auto c2 = hn::Set(d64, high);
    auto c3 = hn::Set(d64, high >> 32);
    auto k0 = static_cast<std::uint32_t>(key);
    auto k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const auto p0 = product(c0, 0xD2511F53ULL);
      const auto p1 = product(c2, 0xCD9E8D57ULL);
      c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(d64, k0));
      c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(d64, k1));
      c1 = p1;
      c3 = p0;
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    const auto first = hn::Or(hn::And(c0, low_half), hn::ShiftLeft<32>(c1));
    const auto second = hn::Or(hn::And(c2, low_half), hn::ShiftLeft<32>(c3));
    const bool fits = i + step <= counters;
    auto* to = reinterpret_cast<std::uint64_t*>(words + 4 * i);
    hn::StoreInterleaved2(first, second, d64, fits ? to : rest);
    for (std::int64_t k = 0; !fits && k < 2 * (counters - i); ++k) to[k] = rest[k];
  }
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#endif
