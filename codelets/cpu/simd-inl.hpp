// Per-target building blocks of the hand-written CPU kernels: f32 registers over f32 or bf16 memory, loops with a masked rest, and
// channel patterns. Compiled once a Highway target (see codelets/cpu/highway.hpp), hence the toggled guard.
//
// Whole vectors and the rest run the same arithmetic lane by lane: where a tile ends never changes a result.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_SIMD_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_SIMD_INL_HPP
#undef HPDLF_CODELETS_CPU_SIMD_INL_HPP
#else
#define HPDLF_CODELETS_CPU_SIMD_INL_HPP
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <vector>

#include "base/dtype.hpp"
#include "base/error.hpp"
#include "codelets/cpu/cache_size.hpp"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
#if HWY_TARGET == HWY_SCALAR
using F64 = hn::Rebind<double, F32>;
#else
using F64 = hn::Repartition<double, F32>;
#endif
using VF32 = hn::Vec<F32>;
using VF64 = hn::Vec<F64>;
using BF16Bits = hn::Rebind<std::uint16_t, F32>;

[[maybe_unused]] inline std::int64_t lanes() { return static_cast<std::int64_t>(hn::Lanes(F32())); }

HWY_INLINE VF32 load(const float* p) { return hn::LoadU(F32(), p); }
HWY_INLINE VF32 load(const bfloat16* p) {
  const hn::RebindToUnsigned<F32> d32;
  const auto bits = hn::LoadU(BF16Bits(), reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}
HWY_INLINE void store(VF32 v, float* p) { hn::StoreU(v, F32(), p); }
/// Rounds to nearest even; NaN stays NaN (as bfloat16(float)).
HWY_INLINE hn::Vec<BF16Bits> rounded_to_bf16(VF32 v) {
  const hn::RebindToUnsigned<F32> d32;
  const auto bits = hn::BitCast(d32, v);
  const auto high = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(high, hn::Set(d32, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fff))));
  const auto quiet = hn::Or(high, hn::Set(d32, 0x40));
  const auto result = hn::IfThenElse(hn::RebindMask(d32, hn::IsNaN(v)), quiet, rounded);
  return hn::TruncateTo(BF16Bits(), result);
}
HWY_INLINE void store(VF32 v, bfloat16* p) {
  hn::StoreU(rounded_to_bf16(v), BF16Bits(), reinterpret_cast<std::uint16_t*>(p));
}
/// Past the caches; `p` is aligned to what is written. hwy::FlushStream() makes it visible to other cores.
HWY_INLINE void stream(VF32 v, float* p) { hn::Stream(v, F32(), p); }
HWY_INLINE void stream(VF32 v, bfloat16* p) {
  // Highway streams 16 bytes at least, whatever the vector has: half of them where a register has no more.
  constexpr std::size_t kLeast = 16;
  if constexpr (hn::MaxLanes(BF16Bits()) * sizeof(bfloat16) >= kLeast)
    hn::Stream(rounded_to_bf16(v), BF16Bits(), reinterpret_cast<std::uint16_t*>(p));
  else
    store(v, p);
}

/// Memory access of a loop body: a whole vector ...
struct Whole {
  template <class T>
  HWY_INLINE VF32 load(const T* p) const {
    return HWY_NAMESPACE::load(p);
  }
  template <class T>
  HWY_INLINE void store(VF32 v, T* p) const {
    HWY_NAMESPACE::store(v, p);
  }
  /// `v` in the lanes that stand for elements, `other` in the rest.
  [[nodiscard]] HWY_INLINE VF32 only(VF32 v, float /*other*/ = 0) const { return v; }
  [[nodiscard]] HWY_INLINE std::int64_t count() const { return lanes(); }
};
/// ... or the `n` < lanes() elements that are left; the other lanes read 0 and are not written.
struct Rest {
  std::int64_t n;
  template <class T>
  HWY_INLINE VF32 load(const T* p) const {
#if !HWY_MEM_OPS_MIGHT_FAULT
    if constexpr (sizeof(T) == sizeof(float))
      return hn::MaskedLoad(hn::FirstN(F32(), static_cast<std::size_t>(n)), F32(), p);
#endif
    HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(float)] = {};
    std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof(T));
    return HWY_NAMESPACE::load(buffer);
  }
  template <class T>
  HWY_INLINE void store(VF32 v, T* p) const {
    HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(float)];
    HWY_NAMESPACE::store(v, buffer);
    std::memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof(T));
  }
  [[nodiscard]] HWY_INLINE VF32 only(VF32 v, float other = 0) const {
    return hn::IfThenElse(hn::FirstN(F32(), static_cast<std::size_t>(n)), v, hn::Set(F32(), other));
  }
  [[nodiscard]] HWY_INLINE std::int64_t count() const { return n; }
};

/// How a pass over memory writes: past the caches where its output leaves them before it is read.
class Writer {
 public:
  /// @param first of a row  @param bytes of the whole output  @param period elements of the row after which whole vectors begin anew
  template <class T>
  Writer(const T* first, std::int64_t bytes, std::int64_t period)
      : streams_(bytes >= kStreamedBytes && period % lanes() == 0 &&
                 reinterpret_cast<std::uintptr_t>(first) %
                         (static_cast<std::size_t>(lanes()) * sizeof(T)) ==
                     0) {}
  template <class Access, class T>
  HWY_INLINE void store(const Access& access, VF32 v, T* p) const {
    if constexpr (std::is_same_v<Access, Whole>)
      if (streams_) return stream(v, p);
    access.store(v, p);
  }

 private:
  bool streams_;
};

/// body(access, i) for i = 0, lanes(), ... < n: `access` loads and stores the elements from i on (Whole or Rest).
template <class Body>
HWY_INLINE void for_each_vector(std::int64_t n, const Body& body) {
  const std::int64_t step = lanes();
  std::int64_t i = 0;
  for (; i + step <= n; i += step) body(Whole{}, i);
  if (i < n) body(Rest{n - i}, i);
}

/// The f64 counterparts of a f32 vector's lanes, in two halves (Highway's one-lane target: the upper one is 0).
struct Wide {
  VF64 lower, upper;
#if HWY_TARGET == HWY_SCALAR
  HWY_INLINE explicit Wide(VF32 v) : lower(hn::PromoteTo(F64(), v)), upper(hn::Zero(F64())) {}
#else
  HWY_INLINE explicit Wide(VF32 v)
      : lower(hn::PromoteTo(F64(), hn::LowerHalf(v))),
        upper(hn::PromoteTo(F64(), hn::UpperHalf(hn::Half<F32>(), v))) {}
#endif
};
/// A sum in f64, a lane a f32 lane.
struct Sum64 {
  VF64 lower, upper;
  HWY_INLINE Sum64() : lower(hn::Zero(F64())), upper(hn::Zero(F64())) {}
  HWY_INLINE void add(const Wide& v) {
    lower = hn::Add(lower, v.lower);
    upper = hn::Add(upper, v.upper);
  }
  HWY_INLINE void add_product(const Wide& a, const Wide& b) {
    lower = hn::MulAdd(a.lower, b.lower, lower);
    upper = hn::MulAdd(a.upper, b.upper, upper);
  }
  /// Adds to lanes() elements of f64 memory.
  HWY_INLINE void add_to(double* p) const {
    const F64 d;
    double* q = p + hn::Lanes(d);
    hn::StoreU(hn::Add(hn::LoadU(d, p), lower), d, p);
    hn::StoreU(hn::Add(hn::LoadU(d, q), upper), d, q);
  }
  /// Of all lanes, in a fixed order.
  [[nodiscard]] HWY_INLINE double total() const {
    return hn::GetLane(hn::SumOfLanes(F64(), hn::Add(lower, upper)));
  }
};

/// How per-channel numbers are laid out so that whole vectors can run over rows of voxels x channels, whatever the channel count:
/// they are repeated over `period` elements, a multiple of the channels and, if that stays short, of the lanes. A row is walked period by
/// period; element i of a period belongs to channel i % channels.
struct ChannelPattern {
  std::int64_t channels, period;

  explicit ChannelPattern(std::int64_t c) : channels(c), period(std::lcm(c, lanes())) {
    constexpr std::int64_t kShort =
        64;  // a few vectors, so that the loop over periods costs nothing
    constexpr std::int64_t kLong =
        4096;  // 16 KiB of f32: parameters must stay in L1; beyond it one voxel a period
    if (period < kShort) period *= kShort / period;
    if (period > kLong) period = c;
  }
  /// Room that vectors may touch: the last one of a period can be a Rest.
  [[nodiscard]] std::size_t padded() const { return static_cast<std::size_t>(period + lanes()); }
  /// value(c) for every channel, repeated.
  template <class T = float, class F>
  [[nodiscard]] std::vector<T> expand(const F& value) const {
    std::vector<T> v(padded());
    for (std::int64_t c = 0; c < channels; ++c)
      v[static_cast<std::size_t>(c)] = static_cast<T>(value(c));
    for (std::int64_t i = channels; i < period; ++i)
      v[static_cast<std::size_t>(i)] = v[static_cast<std::size_t>(i - channels)];
    return v;
  }
  /// Sum of a periodic accumulator over the elements of channel c, in order.
  [[nodiscard]] double fold(const std::vector<double>& sums, std::int64_t c) const {
    double s = 0;
    for (std::int64_t i = c; i < period; i += channels) s += sums[static_cast<std::size_t>(i)];
    return s;
  }
  /// body(access, i, j) over a row of `n` elements that starts with channel 0: i in the row, j in the period.
  template <class Body>
  HWY_INLINE void for_each_vector(std::int64_t n, const Body& body) const {
    for (std::int64_t base = 0; base < n; base += period)
      HWY_NAMESPACE::for_each_vector(std::min(period, n - base),
                                     [&](auto access, std::int64_t j)
                                         HWY_ATTR { body(access, base + j, j); });
  }
  /// body(access, i, j, repeats) likewise, for accumulators at j: also covers the elements i + period, ... of `repeats` periods, which
  /// are summed in registers before the accumulator in memory is touched.
  template <class Body>
  HWY_INLINE void for_each_column(std::int64_t n, const Body& body) const {
    constexpr std::int64_t kBlock =
        2048;  // elements that are walked column by column: 8 KiB of f32, well inside L1
    const std::int64_t most = std::clamp<std::int64_t>(kBlock / period, 1, 16);
    for (std::int64_t base = 0; base < n;) {
      const std::int64_t whole = std::min(most, (n - base) / period);
      const std::int64_t repeats = std::max<std::int64_t>(whole, 1);
      HWY_NAMESPACE::for_each_vector(whole > 0 ? period : n - base,
                                     [&](auto access, std::int64_t j)
                                         HWY_ATTR { body(access, base + j, j, repeats); });
      base += whole > 0 ? whole * period : n - base;
    }
  }
};

/// f(T{}) with the storage type of `dtype`. @throws Error for a type that the kernel does not know.
template <class F>
void with_storage(DType dtype, const F& f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::bf16) return f(bfloat16{});
  throw Error(fmt::format("no kernel for {}; f32 and bf16 are known", name_of(dtype)));
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#endif
