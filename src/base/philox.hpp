// Philox4x32-10, a counter-based random generator: the number at an index depends on key and index only, never on who draws it.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 3.3 and table 2.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

namespace hpdlf {

class Philox {
 public:
  explicit constexpr Philox(std::uint64_t key) : key_(key) {}

  /// Four random words for counter (high, low).
  [[nodiscard]] constexpr std::array<std::uint32_t, 4> operator()(std::uint64_t low,
                                                                  std::uint64_t high = 0) const {
    std::array<std::uint32_t, 4> c{
        static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32),
        static_cast<std::uint32_t>(high), static_cast<std::uint32_t>(high >> 32)};
    auto k0 = static_cast<std::uint32_t>(key_);
    auto k1 = static_cast<std::uint32_t>(key_ >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = 0xD2511F53ULL * c[0];
      const std::uint64_t p1 = 0xCD9E8D57ULL * c[2];
      c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
           static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    return c;
  }

  /// Uniform in [0, 1) from 24 bits; index `i` of stream `stream`.
  [[nodiscard]] constexpr float uniform(std::uint64_t i, std::uint64_t stream = 0) const {
    return static_cast<float>((*this)(i / 4, stream)[i % 4] >> 8) * 0x1p-24F;
  }
  /// Standard normal (Box-Muller), index `i` of stream `stream`.
  [[nodiscard]] double normal(std::uint64_t i, std::uint64_t stream = 0) const {
    const auto w = (*this)(i, stream);
    const double u = (static_cast<double>(w[0]) + 0.5) * 0x1p-32;
    const double v = (static_cast<double>(w[1]) + 0.5) * 0x1p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

 private:
  std::uint64_t key_;
};

}  // namespace hpdlf
