// What both directions of attention on tiles share: how a head is packed, which keys a block's queries see, and the way back from columns
// to rows. Include it once, in codelets/cpu/split_attention.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// Vectors that hold a number for each query of a block.
constexpr std::int64_t kHalves = kPanel / kLanes;

/// Packed panels one after the other, each as many steps.
struct Panels {
  std::byte* data = nullptr;
  std::int64_t steps = 0;
  [[nodiscard]] std::byte* at(std::int64_t panel, std::int64_t step = 0) const {
    return data + (panel * steps + step) * kStepBytes;
  }
};
/// 32 x 32 sums one after the other, `columns` in a row of them.
struct Blocks {
  float* data = nullptr;
  std::int64_t columns = 0;
  [[nodiscard]] float* at(std::int64_t row, std::int64_t column = 0) const {
    return data + (row * columns + column) * kSums;
  }
};

/// Parts of a workspace; without memory, only their sizes.
class Workspace {
 public:
  Workspace() = default;
  explicit Workspace(std::byte* base) : base_(base) {}
  /// A step more is read, not used.
  Panels panels(std::int64_t count, std::int64_t steps) {
    return {part((count * steps + 1) * kStepBytes), steps};
  }
  Blocks blocks(std::int64_t rows, std::int64_t columns) {
    return {floats(rows * columns * kSums), columns};
  }
  float* floats(std::int64_t count) {
    return reinterpret_cast<float*>(part(count * static_cast<std::int64_t>(sizeof(float))));
  }
  [[nodiscard]] std::size_t bytes() const { return layout_.bytes(); }

 private:
  std::byte* part(std::int64_t bytes) {
    const std::int64_t at = layout_.add(bytes);
    return base_ != nullptr ? base_ + at : nullptr;
  }
  std::byte* base_ = nullptr;
  WorkspaceLayout layout_;
};

/// Which panels there are, and which a query sees.
struct HeadPanels {
  std::int64_t tokens, features;
  bool causal;
  std::int64_t panels, steps;  ///< of 32 tokens, of 32 features

  explicit HeadPanels(const AttentionHeads& heads)
      : tokens(heads.tokens()),
        features(heads.features()),
        causal(heads.is_causal()),
        panels(blocks_of(tokens, kPanel)),
        steps(blocks_of(features, kStep)) {}
  /// One past the last panel of keys that the queries of panel `q` see.
  [[nodiscard]] std::int64_t end_of_keys(std::int64_t q) const { return causal ? q + 1 : panels; }
};

/// A head's rows of features, a token each.
Matrix by_token(const float* data, const HeadPanels& head, std::int64_t row) {
  return {data, head.tokens, head.features, {row, 1}};
}

/// Which scores of a block count: those of its first `keys` keys; on the diagonal, of query i with keys 0 .. i.
struct Seen {
  std::int64_t keys = 0;
  bool is_on_diagonal = false;
  Seen() = default;
  Seen(const HeadPanels& head, std::int64_t key_panel, std::int64_t query_panel)
      : keys(head.tokens - key_panel * kPanel),
        is_on_diagonal(head.causal && key_panel == query_panel) {}
  [[nodiscard]] bool all() const { return keys >= kPanel && !is_on_diagonal; }
  /// The queries of a half of the block that see a key.
  [[nodiscard]] HWY_INLINE __mmask16 by(std::int64_t half, std::int64_t key) const {
    if (key >= keys) return 0;
    return is_on_diagonal ? static_cast<__mmask16>(~first(key - half * kLanes)) : 0xFFFF;
  }
};

constexpr float kLog2OfE = 1.44269504F;
/// 2^x of x < 128, at most 0.7 ULP off; 2^-126 of what is less; NaN stays NaN. A third fewer instructions than exp() of all targets, and
/// in attention the processor has nothing else to do while tiles multiply. The polynomial is the minimax one of degree 6 with 2^0 = 1.
HWY_INLINE __m512 exp2(__m512 x) {
  constexpr float kLeast = -126;
  const __m512 least_or_x = _mm512_max_ps(_mm512_set1_ps(kLeast), x);
  const __m512 n = _mm512_roundscale_ps(least_or_x, _MM_FROUND_TO_NEAREST_INT);
  const __m512 f = _mm512_sub_ps(least_or_x, n);
  __m512 p = _mm512_set1_ps(1.535336201e-4F);
  for (const float c :
       {1.339887445e-3F, 9.618437358e-3F, 5.550332471e-2F, 2.402264791e-1F, 6.931472029e-1F, 1.0F})
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(c));
  return _mm512_scalef_ps(p, n);
}

/// What goes on beside products: pieces of a few dozen instructions, spread evenly over the gaps.
template <class Work>
class Beside : public Fetching {
 public:
  /// @param work pieces(), has_more() and next_piece()  @param steps of the products that there will be
  Beside(Work& work, std::int64_t steps)
      : work_(work), pieces_(work.pieces()), gaps_(steps * kGaps) {}
  template <int kGap>
  HWY_INLINE void advance(const std::byte* next_a) {
    Fetching::advance<kGap>(next_a);
    for (due_ += pieces_; due_ >= gaps_ && work_.has_more(); due_ -= gaps_) work_.next_piece();
  }
  void finish() {
    while (work_.has_more()) work_.next_piece();
  }

 private:
  Work& work_;
  std::int64_t pieces_, gaps_, due_ = 0;
};

/// Rows of sums by feature, a query a column, times `factor`: to rows of features, `row` apart, of the first so many queries.
void store_transposed(const float* sums, std::int64_t features, std::int64_t queries, float factor,
                      float* to, std::int64_t row) {
  const __m512 factors = _mm512_set1_ps(factor);
  for (std::int64_t f = 0; f < features; f += kLanes)
    for (std::int64_t q = 0; q < queries; q += kLanes) {
      const Matrix block = {sums + f / kPanel * kSums, kPanel, kPanel, {kPanel, 1}};
      Transpose transpose;
      for (std::int64_t g = 0; g < 4; ++g) transpose.add_rows(block, f % kPanel, q, g);
      const auto store = [&](__m512 v, std::int64_t query) HWY_ATTR {
        if (query < queries)
          _mm512_mask_storeu_ps(to + query * row + f, first(features - f),
                                _mm512_mul_ps(v, factors));
      };
      for (std::int64_t i = 0; i < kPairs; ++i) {
        const Transpose::Columns c = transpose.columns(i);
        store(c.low, q + i);
        store(c.high, q + i + kPairs);
      }
    }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
