// Products of 32 x 32 sums on AMX tiles. Include it between HWY_PUSH_ATTRIBUTES and HWY_POP_ATTRIBUTES, once in a file, after all else:
// what is included first between them would be compiled for such processors only.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codelets/cpu/split_product_packing-inl.hpp"

namespace hpdlf::codelets {
namespace {

/// The compiler does not know what tile instructions read and write.
void order_memory() { __asm__ volatile("" ::: "memory"); }

/// Eight tiles of 16 rows of 64 bytes while it lives.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) Config {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {};
      std::uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = kTileRowBytes;
      config.rows[i] = kTileRows;
    }
    order_memory();
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// What goes on beside products, a little after every other one: a twelfth of the next step of a is fetched to L1, the last part first, as
/// it is used.
struct Fetching {
  static constexpr int kGaps = 12;  ///< of a step
  template <int kGap>
  HWY_INLINE void advance(const std::byte* next_a) {
    constexpr int kGapsAPart = kGaps / kParts, kPart = kParts - 1 - kGap / kGapsAPart;
    constexpr std::int64_t kBytes = kPartBytes / kGapsAPart;
    prefetch_lines<kTileRowBytes, kBytes / kTileRowBytes>(next_a + kPart * kPartBytes +
                                                          kGap % kGapsAPart * kBytes);
  }
};

// Tiles 0-3: sums of rows 0-15 and columns 0-15, 0-15 and 16-31, ..; 4-5: a part of a; 6-7: a part of b. Numbers of tiles are parts of
// the instructions, hence macros.
#define HPDLF_LOAD(tile, from, part, half) \
  _tile_loadd(tile, (from) + (part)*kPartBytes + (half)*kTileBytes, kTileRowBytes)
// Two multiplications, each the number of the sum and those of the parts; what they need no longer is loaded anew, half by half.
#define HPDLF_MULTIPLY(gap, first, second, loaded, from, part, half) \
  _tile_dpbf16ps first;                                              \
  _tile_dpbf16ps second;                                             \
  HPDLF_LOAD(loaded, from, part, half);                              \
  meanwhile.template advance<gap>(next_a)
#define HPDLF_MULTIPLY_LOAD_A(gap, from, part)                 \
  HPDLF_MULTIPLY(gap, (0, 4, 6), (1, 4, 7), 4, from, part, 0); \
  HPDLF_MULTIPLY((gap) + 1, (2, 5, 6), (3, 5, 7), 5, from, part, 1)
#define HPDLF_MULTIPLY_LOAD_B(gap, from, part)                 \
  HPDLF_MULTIPLY(gap, (0, 4, 6), (2, 5, 6), 6, from, part, 0); \
  HPDLF_MULTIPLY((gap) + 1, (1, 4, 7), (3, 5, 7), 7, from, part, 1)

constexpr std::int64_t kSums = kPanel * kPanel;

/// sums[32][32] = the products of a panel of a and one of b.
/// @param meanwhile advance<gap>(next step of a) is called in each of the 12 gaps of a step  @param continues added to sums
template <class Meanwhile>
HWY_NOINLINE void multiply(const std::byte* a, const std::byte* b, std::int64_t steps, float* sums,
                           Meanwhile& meanwhile, bool continues = false) {
  constexpr std::int64_t kRow = kPanel * sizeof(float), kBelow = kSums / 2;
  if (continues) {
    order_memory();
    _tile_loadd(0, sums, kRow);
    _tile_loadd(1, sums + kTileRows, kRow);
    _tile_loadd(2, sums + kBelow, kRow);
    _tile_loadd(3, sums + kBelow + kTileRows, kRow);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  HPDLF_LOAD(4, a, 2, 0);
  HPDLF_LOAD(5, a, 2, 1);
  HPDLF_LOAD(6, b, 0, 0);
  HPDLF_LOAD(7, b, 0, 1);
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::byte *next_a = a + kStepBytes, *next_b = b + kStepBytes;
    HPDLF_MULTIPLY_LOAD_A(0, a, 1);        // a3 b1
    HPDLF_MULTIPLY_LOAD_B(2, b, 1);        // a2 b1
    HPDLF_MULTIPLY_LOAD_A(4, a, 0);        // a2 b2
    HPDLF_MULTIPLY_LOAD_B(6, b, 2);        // a1 b2
    HPDLF_MULTIPLY_LOAD_B(8, b, 0);        // a1 b3
    HPDLF_MULTIPLY_LOAD_A(10, next_a, 2);  // a1 b1
    HPDLF_LOAD(6, next_b, 0, 0);
    HPDLF_LOAD(7, next_b, 0, 1);
    a = next_a;
    b = next_b;
  }
  _tile_stored(0, sums, kRow);
  _tile_stored(1, sums + kTileRows, kRow);
  _tile_stored(2, sums + kBelow, kRow);
  _tile_stored(3, sums + kBelow + kTileRows, kRow);
  order_memory();
}
#undef HPDLF_LOAD
#undef HPDLF_MULTIPLY
#undef HPDLF_MULTIPLY_LOAD_A
#undef HPDLF_MULTIPLY_LOAD_B

}  // namespace
}  // namespace hpdlf::codelets
