// Factors of a product as three bf16 each, in the order of AMX tiles. Include it between HWY_PUSH_ATTRIBUTES and HWY_POP_ATTRIBUTES of
// the one file that uses it, codelets/cpu/split_product.cc.
//
// A panel is 32 rows of a, or 32 columns of b. 32 of its terms are a step: three parts of two tiles (16 rows or columns each).
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hpdlf::codelets {
namespace {

constexpr std::int64_t kPanel = 32;  ///< rows of a, columns of b that are multiplied at a time
constexpr std::int64_t kStep = 32;   ///< terms of a tile
constexpr std::int64_t kLanes = 16;  ///< floats of a vector
constexpr std::int64_t kTileRows = 16, kTileRowBytes = 64, kTileBytes = kTileRows * kTileRowBytes;
constexpr std::int64_t kParts = 3, kPartBytes = 2 * kTileBytes, kStepBytes = kParts * kPartBytes;

/// One of the two strides is 1.
struct Matrix {
  const float* data;
  std::int64_t rows, columns;
  MatrixStrides stride;
};

/// The first n of sixteen lanes.
__mmask16 first(std::int64_t n) {
  return static_cast<__mmask16>(n >= kLanes ? 0xFFFF : n <= 0 ? 0 : (1U << n) - 1);
}

__m512 low_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
__m512 high_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/// 16 x 16: to[j * to_stride + i] = from[i * stride + j] where i < rows and j < columns, else 0.
void transpose(const float* from, std::int64_t stride, std::int64_t rows, std::int64_t columns,
               float* to, std::int64_t to_stride) {
  const __mmask16 mask = first(columns);
  // Lane l, a quarter of a vector, of r[i] has columns 4 l .. 4 l + 3 of row i.
  __m512 r[16], t[16];
  for (int i = 0; i < 16; ++i)
    r[i] = i < rows ? _mm512_maskz_loadu_ps(mask, from + i * stride) : _mm512_setzero_ps();
  for (int i = 0; i < 16; i += 4) {
    const __m512 a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
    const __m512 c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]),
                 d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
    t[i] = low_pairs(a, c);
    t[i + 1] = high_pairs(a, c);
    t[i + 2] = low_pairs(b, d);
    t[i + 3] = high_pairs(b, d);
  }
  // Lane l of t[4 g + j] has rows 4 g .. 4 g + 3 of column 4 l + j.
  for (int j = 0; j < 4; ++j) {
    const __m512 a = _mm512_shuffle_f32x4(t[j], t[4 + j], 0x88);
    const __m512 b = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0x88);
    const __m512 c = _mm512_shuffle_f32x4(t[j], t[4 + j], 0xDD);
    const __m512 d = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0xDD);
    _mm512_storeu_ps(to + j * to_stride, _mm512_shuffle_f32x4(a, b, 0x88));
    _mm512_storeu_ps(to + (4 + j) * to_stride, _mm512_shuffle_f32x4(c, d, 0x88));
    _mm512_storeu_ps(to + (8 + j) * to_stride, _mm512_shuffle_f32x4(a, b, 0xDD));
    _mm512_storeu_ps(to + (12 + j) * to_stride, _mm512_shuffle_f32x4(c, d, 0xDD));
  }
}

/// Sixteen floats as three bf16, each in the high half of its lane; what the low halves hold means nothing.
struct Split {
  __m512i part[kParts];
};
/// The first part is rounded to nearest, so that 16 bits are left, which the others just hold.
HWY_INLINE Split split(__m512 x) {
  const __m512i high_half = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
  const auto rest = [&](__m512 from, __m512i part) {
    return _mm512_sub_ps(from, _mm512_castsi512_ps(_mm512_and_epi32(part, high_half)));
  };
  const __m512i rounded = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(1 << 15));
  const __m512 rest1 = rest(x, rounded);
  const __m512 rest2 = rest(rest1, _mm512_castps_si512(rest1));
  return {{rounded, _mm512_castps_si512(rest1), _mm512_castps_si512(rest2)}};
}

/// 32 terms of 16 rows of a, `stride` apart: row i of the tiles is those of row i.
HWY_INLINE void pack_rows(const float* from, std::int64_t stride, std::byte* to) {
  alignas(64) static constexpr std::uint16_t kHighHalves[32] = {
      1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
      33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  const __m512i high_halves = _mm512_load_si512(kHighHalves);
  for (int i = 0; i < kTileRows; ++i) {
    const Split low = split(_mm512_loadu_ps(from + i * stride));
    const Split high = split(_mm512_loadu_ps(from + i * stride + kLanes));
    for (int p = 0; p < kParts; ++p)
      _mm512_store_si512(to + p * kPartBytes + i * kTileRowBytes,
                         _mm512_permutex2var_epi16(low.part[p], high_halves, high.part[p]));
  }
}

/// 16 terms of 16 columns of b, rows `stride` apart: row i of the tiles is terms 2 i and 2 i + 1 of column 0, of column 1, ..
HWY_INLINE void pack_pairs(const float* from, std::int64_t stride, std::byte* to) {
  constexpr __mmask32 kHighHalves = 0xAAAAAAAA;
  for (int i = 0; i < kTileRows / 2; ++i) {
    const Split even = split(_mm512_loadu_ps(from + 2 * i * stride));
    const Split odd = split(_mm512_loadu_ps(from + (2 * i + 1) * stride));
    for (int p = 0; p < kParts; ++p)
      _mm512_store_si512(
          to + p * kPartBytes + i * kTileRowBytes,
          _mm512_mask_blend_epi16(kHighHalves, _mm512_srli_epi32(even.part[p], 16), odd.part[p]));
  }
}

/// Rows of dense floats.
struct Window {
  const float* data;
  std::int64_t stride;
};
/// kRows x kColumns elements of m from (row, column) on: where they lie if they are all there, in rows; else a copy with zeros for what is
/// missing. @param copy kRows x kColumns, aligned
template <int kRows, int kColumns>
HWY_INLINE Window window(const Matrix& m, std::int64_t row, std::int64_t column, float* copy) {
  const std::int64_t rows = m.rows - row, columns = m.columns - column;
  const float* from = m.data + row * m.stride.row + column * m.stride.column;
  if (m.stride.column == 1 && rows >= kRows && columns >= kColumns) return {from, m.stride.row};
  for (int i = 0; i < kRows; i += 16)
    for (int j = 0; j < kColumns; j += 16) {
      float* to = copy + i * kColumns + j;
      const float* at = from + i * m.stride.row + j * m.stride.column;
      if (m.stride.column != 1) {
        transpose(at, m.stride.column, columns - j, rows - i, to, kColumns);
        continue;
      }
      for (int r = 0; r < 16; ++r)
        _mm512_storeu_ps(
            to + r * kColumns,
            _mm512_maskz_loadu_ps(first(i + r < rows ? columns - j : 0), at + r * m.stride.row));
    }
  return {copy, kColumns};
}

/// Terms [term, + terms) of the panel of a from row `row` on.
void pack_rows_panel(const Matrix& a, std::int64_t row, std::int64_t term, std::int64_t terms,
                     std::byte* to) {
  alignas(64) float copy[kTileRows * kStep];
  for (std::int64_t k = 0; k < terms; k += kStep, to += kStepBytes)
    for (int half = 0; half < 2; ++half) {
      const Window w = window<kTileRows, kStep>(a, row + half * kTileRows, term + k, copy);
      pack_rows(w.data, w.stride, to + half * kTileBytes);
    }
}

/// Packs a panel of b in pieces of 16 x 16, between the products of the panel before: the vector units are idle then.
class PanelPacking {
 public:
  /// Nothing to pack.
  PanelPacking() = default;
  /// Terms [term, + terms) of the panel from column `column` on. @param calls of advance() that there will be
  PanelPacking(const Matrix& b, std::int64_t column, std::int64_t term, std::int64_t terms,
               std::byte* to, std::int64_t calls)
      : b_(b),
        column_(column),
        term_(term),
        pieces_((terms + kStep - 1) / kStep * kPiecesAStep),
        calls_(calls),
        to_(to) {}

  HWY_INLINE void advance() {
    for (due_ += pieces_; due_ >= calls_ && done_ < pieces_; due_ -= calls_) pack_piece();
  }
  void finish() {
    while (done_ < pieces_) pack_piece();
  }

 private:
  static constexpr std::int64_t kPiecesAStep = 4;
  void pack_piece() {
    alignas(64) float copy[kLanes * kLanes];
    const std::int64_t columns = done_ % 2, terms = done_ / 2 % 2;  // which half of a step
    const Window w =
        window<kLanes, kLanes>(b_, term_ + done_ / 2 * kLanes, column_ + columns * kLanes, copy);
    pack_pairs(
        w.data, w.stride,
        to_ + done_ / kPiecesAStep * kStepBytes + columns * kTileBytes + terms * kTileBytes / 2);
    ++done_;
  }

  Matrix b_{};
  std::int64_t column_ = 0, term_ = 0, pieces_ = 0, done_ = 0;
  std::int64_t calls_ = 1, due_ = 0;  ///< due_ / calls_ pieces are to be packed now
  std::byte* to_ = nullptr;
};

}  // namespace
}  // namespace hpdlf::codelets
