// The matrix product of Winograd's convolution: tiles by outputs, summed over channels and direct taps along D. Compiled once a Highway
// target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_WINOGRAD_PRODUCT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_WINOGRAD_PRODUCT_INL_HPP
#undef HPDLF_CODELETS_CPU_WINOGRAD_PRODUCT_INL_HPP
#else
#define HPDLF_CODELETS_CPU_WINOGRAD_PRODUCT_INL_HPP
#endif

#include <array>
#include <utility>

#include "base/winograd_limits.hpp"
#include "codelets/cpu/prefetch.hpp"
#include "codelets/cpu/register_sums-inl.hpp"
#include "codelets/cpu/winograd_transforms-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {
using codelets::HWY_NAMESPACE::RegisterSums;

/// Tiles whose sums fit in registers, two vectors each, beside two vectors of weights and a broadcast.
inline constexpr int kMostRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6;

/// Products that a register sums up before it is added to memory. The rounding of one long sum is three quarters of the error; adding
/// sums of 64 halves what gradients lose, and takes 1-2 % of the time.
inline constexpr std::int64_t kSummedTerms = 64;

/// Factors of so many terms and more are streamed, and fetched so many lines of weights ahead: measured.
inline constexpr std::int64_t kStreamedTerms = 128, kLinesAhead = 12;

/// Factors of a product that is summed over taps and channels: rows of 16 channels of x, lines of weights.
struct Product {
  const float* x[kMostWinogradTaps];        // row 0, channel 0 of each tap
  const float* weights[kMostWinogradTaps];  // input channel 0 of each tap
  std::int64_t taps = 0, channels = 0;
  std::int64_t x_line = 0;         // floats from one line of channels of x to the next
  std::int64_t weight_vector = 0;  // from one vector of outputs to the next
  std::int64_t out_vector = 0;
};

/// out[row][vector] = sum over taps and channels of x[row][channel] * weights[channel][vector]; a row is a tile, kRow floats from the next.
/// Factors that are `kStreamed` do not wait in the caches: the next are fetched meanwhile, so far ahead as memory is slow.
template <std::int64_t kRow, int kRows, int kVectors, bool kStreamed>
HWY_NOINLINE void multiply(const Product& p, const std::int64_t row0, float* HWY_RESTRICT out) {
  const F32 d;
  RegisterSums<kRow, kRows, kVectors> sums;
  sums.clear();
  std::int64_t terms = 0;  // in `sums`
  bool is_first = true;
  for (std::int64_t t = 0; t < p.taps; ++t) {
    const float* HWY_RESTRICT x = p.x[t] + row0 * kRow;
    const float* HWY_RESTRICT w = p.weights[t];
    for (std::int64_t left = p.channels; left > 0; left -= kLine, x += p.x_line) {
      const std::int64_t count = std::min(left, kLine);
      if constexpr (kStreamed) prefetch_lines<kRow, kRows>(x + p.x_line);
#pragma GCC unroll 4
      for (std::int64_t c = 0; c < count; ++c, w += kLine) {
        VF32 ws[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          const float* from = w + v * p.weight_vector;
          ws[v] = hn::LoadU(d, from);
          if constexpr (kStreamed) prefetch_lines<1, 1>(from + kLinesAhead * kLine);
        }
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const VF32 xs = hn::Set(d, x[r * kRow + c]);
          for (int v = 0; v < kVectors; ++v) sums.of[r][v] = hn::MulAdd(xs, ws[v], sums.of[r][v]);
        }
      }
      terms += count;
      if (terms < kSummedTerms) continue;
      sums.flush(out, p.out_vector, is_first);
      sums.clear();
      terms = 0;
      is_first = false;
    }
  }
  if (terms > 0 || is_first) sums.flush(out, p.out_vector, is_first);
}

using Multiply = void (*)(const Product&, std::int64_t, float*);
using MultiplyTable = std::array<Multiply, static_cast<std::size_t>(kMostRows)>;
template <std::int64_t kRow, int kVectors, bool kStreamed, std::size_t... kRows>
inline constexpr MultiplyTable multiply_table(std::index_sequence<kRows...>) {
  return {multiply<kRow, static_cast<int>(kRows) + 1, kVectors, kStreamed>...};
}
template <std::int64_t kRow, int kVectors, bool kStreamed>
inline constexpr MultiplyTable kMultiply =
    multiply_table<kRow, kVectors, kStreamed>(std::make_index_sequence<kMostRows>());

/// [rows - 1]
template <std::int64_t kRow>
[[nodiscard]] const MultiplyTable& multiply_table(bool is_pair, bool is_streamed) {
  if (is_streamed) return is_pair ? kMultiply<kRow, 2, true> : kMultiply<kRow, 1, true>;
  return is_pair ? kMultiply<kRow, 2, false> : kMultiply<kRow, 1, false>;
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#endif
