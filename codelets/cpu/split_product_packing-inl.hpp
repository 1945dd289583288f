// Factors of a product as three bf16 each, in the order of AMX tiles. Include it as codelets/cpu/split_tiles-inl.hpp.
//
// A panel is 32 rows of a, or 32 columns of b. 32 of its terms are a step: three parts of two tiles (16 rows or columns each). A tile's
// unit are two terms of a row or column; those of terms 16 h + i and 16 h + 8 + i, i < 8, are number 8 h + i.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hpdlf::codelets {
namespace {

constexpr std::int64_t kPanel = 32;  ///< rows of a, columns of b that are multiplied at a time
constexpr std::int64_t kStep = 32;   ///< terms of a tile
constexpr std::int64_t kLanes = 16;  ///< floats of a vector
constexpr std::int64_t kPairs = kLanes / 2;
constexpr std::int64_t kTileRows = 16, kTileRowBytes = 64, kTileBytes = kTileRows * kTileRowBytes;
constexpr std::int64_t kParts = 3, kPartBytes = 2 * kTileBytes, kStepBytes = kParts * kPartBytes;

/// The first n of sixteen lanes.
HWY_INLINE __mmask16 first(std::int64_t n) {
  return static_cast<__mmask16>(n >= kLanes ? 0xFFFF : n <= 0 ? 0 : (1U << n) - 1);
}

/// One of the two strides is 1.
struct Matrix {
  const float* data;
  std::int64_t rows, columns;
  MatrixStrides stride;

  [[nodiscard]] bool has_dense_rows() const { return stride.column == 1; }
  [[nodiscard]] Matrix transposed() const {
    return {data, columns, rows, {stride.column, stride.row}};
  }
  /// Sixteen elements of a dense row from (row, column) on; 0 is what there is not.
  [[nodiscard]] HWY_INLINE __m512 load(std::int64_t row, std::int64_t column) const {
    return _mm512_maskz_loadu_ps(first(row < rows ? columns - column : 0),
                                 data + row * stride.row + column);
  }
};

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

/// A row of each part: pairs x[i], y[i].
HWY_INLINE void store_pairs(__m512 x, __m512 y, std::byte* to) {
  constexpr __mmask32 kHighHalves = 0xAAAAAAAA;
  const Split low = split(x), high = split(y);
  for (int p = 0; p < kParts; ++p)
    _mm512_store_si512(
        to + p * kPartBytes,
        _mm512_mask_blend_epi16(kHighHalves, _mm512_srli_epi32(low.part[p], 16), high.part[p]));
}

/// A row of a tile of a in each part: 32 terms, given in halves.
HWY_INLINE void store_terms(__m512 first, __m512 second, std::byte* to) {
  store_pairs(_mm512_shuffle_f32x4(first, second, 0x44), _mm512_shuffle_f32x4(first, second, 0xEE),
              to);
}

HWY_INLINE __m512 low_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
HWY_INLINE __m512 high_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/// A 16 x 16 transpose in pieces, each of some ten instructions: four groups of rows, then columns i and i + 8 for every i < 8.
class Transpose {
 public:
  /// Rows 4 g .. 4 g + 3 of the block of m whose first element is (row, column).
  HWY_INLINE void add_rows(const Matrix& m, std::int64_t row, std::int64_t column, std::int64_t g) {
    __m512 r[4];
    for (int i = 0; i < 4; ++i) r[i] = m.load(row + 4 * g + i, column);
    const __m512 a = _mm512_unpacklo_ps(r[0], r[1]), b = _mm512_unpackhi_ps(r[0], r[1]);
    const __m512 c = _mm512_unpacklo_ps(r[2], r[3]), d = _mm512_unpackhi_ps(r[2], r[3]);
    // Lane l, a quarter of a vector, of the j-th: column 4 l + j of the four rows.
    _mm512_store_ps(at(4 * g), low_pairs(a, c));
    _mm512_store_ps(at(4 * g + 1), high_pairs(a, c));
    _mm512_store_ps(at(4 * g + 2), low_pairs(b, d));
    _mm512_store_ps(at(4 * g + 3), high_pairs(b, d));
  }

  struct Columns {
    __m512 low, high;  ///< i and i + 8
  };
  [[nodiscard]] HWY_INLINE Columns columns(std::int64_t i) const {
    return i < 4 ? lanes<0x88>(i) : lanes<0xDD>(i - 4);
  }

 private:
  HWY_INLINE float* at(std::int64_t i) { return rows_ + i * kLanes; }
  template <int kLanesOf>
  [[nodiscard]] HWY_INLINE Columns lanes(std::int64_t j) const {
    __m512 t[4];
    for (int g = 0; g < 4; ++g) t[g] = _mm512_load_ps(rows_ + (4 * g + j) * kLanes);
    const __m512 a = _mm512_shuffle_f32x4(t[0], t[1], kLanesOf);
    const __m512 b = _mm512_shuffle_f32x4(t[2], t[3], kLanesOf);
    return {_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD)};
  }

  alignas(64) float rows_[kLanes * kLanes];
};

/// 32 terms of 16 rows of a.
class RowsPacking {
 public:
  HWY_INLINE void run(const Matrix& a, std::int64_t row, std::int64_t term, std::byte* to) {
    if (a.has_dense_rows()) {
      for (std::int64_t i = 0; i < kTileRows; ++i)
        store_terms(a.load(row + i, term), a.load(row + i, term + kLanes), to + i * kTileRowBytes);
      return;
    }
    const Matrix terms = a.transposed();
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t g = 0; g < 4; ++g) halves_[h].add_rows(terms, term + h * kLanes, row, g);
    for (std::int64_t i = 0; i < kTileRows / 2; ++i) {
      const Transpose::Columns first = halves_[0].columns(i), second = halves_[1].columns(i);
      store_terms(first.low, second.low, to + i * kTileRowBytes);
      store_terms(first.high, second.high, to + (i + kTileRows / 2) * kTileRowBytes);
    }
  }

 private:
  Transpose halves_[2];
};

/// Terms [term, + terms) of the panel of a from row `row` on.
void pack_rows_panel(const Matrix& a, std::int64_t row, std::int64_t term, std::int64_t terms,
                     std::byte* to) {
  RowsPacking packing;
  for (std::int64_t k = 0; k < terms; k += kStep, to += kStepBytes)
    for (int half = 0; half < 2; ++half)
      packing.run(a, row + half * kTileRows, term + k, to + half * kTileBytes);
}

/// Packs a panel of b in pieces of twenty to thirty instructions. The tile unit keeps busy beside so few, not beside hundreds in a row: then
/// the next tiles are not yet among what the processor looks at.
class PanelPacking {
 public:
  /// Nothing to pack.
  PanelPacking() = default;
  /// Terms [term, + terms) of the panel from column `column` on. @param calls of advance() that there will be
  PanelPacking(const Matrix& b, std::int64_t column, std::int64_t term, std::int64_t terms,
               std::byte* to, std::int64_t calls)
      : b_(b.has_dense_rows() ? b : b.transposed()),
        column_(column),
        term_(term),
        blocks_(blocks_of(terms, kStep) * kBlocksAStep),
        is_transposed_(!b.has_dense_rows()),
        pieces_a_block_(is_transposed_ ? 4 + kPairs : kPairs),
        calls_(calls),
        to_(to) {}

  HWY_INLINE void advance() {
    for (due_ += blocks_ * pieces_a_block_; due_ >= calls_ && block_ < blocks_; due_ -= calls_)
      pack_piece();
  }
  void finish() {
    while (block_ < blocks_) pack_piece();
  }

 private:
  static constexpr std::int64_t kBlocksAStep = 4;  ///< of 16 terms and columns

  HWY_NOINLINE void pack_piece() {
    const std::int64_t side = block_ % 2, half = block_ / 2 % 2;
    const std::int64_t term = term_ + block_ / 2 * kLanes, column = column_ + side * kLanes;
    std::byte* to = to_ + block_ / kBlocksAStep * kStepBytes + side * kTileBytes +
                    half * kPairs * kTileRowBytes;
    // Fetched to L1 meanwhile: what the same piece of the next 16 terms reads.
    if (!is_transposed_) {
      prefetch(term + kLanes + piece_, column);
      prefetch(term + kLanes + piece_ + kPairs, column);
      store_pairs(b_.load(term + piece_, column), b_.load(term + piece_ + kPairs, column),
                  to + piece_ * kTileRowBytes);
    } else if (piece_ < 4) {
      for (std::int64_t i = 0; i < 4; ++i) prefetch(column + 4 * piece_ + i, term + kLanes);
      transpose_.add_rows(b_, column, term, piece_);
    } else {
      const Transpose::Columns terms = transpose_.columns(piece_ - 4);
      store_pairs(terms.low, terms.high, to + (piece_ - 4) * kTileRowBytes);
    }
    if (++piece_ < pieces_a_block_) return;
    piece_ = 0;
    ++block_;
  }

  HWY_INLINE void prefetch(std::int64_t row, std::int64_t column) const {
    prefetch_lines<0, 1>(b_.data + row * b_.stride.row + column);
  }

  Matrix b_{};  ///< with dense rows: b or its transpose
  std::int64_t column_ = 0, term_ = 0, blocks_ = 0;
  bool is_transposed_ = false;
  std::int64_t pieces_a_block_ = 0, block_ = 0, piece_ = 0;
  std::int64_t calls_ = 1, due_ = 0;  ///< due_ / calls_ pieces are to be packed now
  std::byte* to_ = nullptr;
  Transpose transpose_;
};

}  // namespace
}  // namespace hpdlf::codelets
