// p and ds of SelfAttentionGrad on tiles. Include it once, in codelets/cpu/split_attention.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// Parts of the workspace. Of two of a kind, one is for even turns, or for even chunks of keys.
struct GradientBuffers {
  static constexpr std::int64_t kChunk =
      4;  ///< panels of queries, and of keys whose shares in dqueries are added at a time
  Panels keys, values, key_features;     ///< of a head; key_features: a row a feature
  Blocks dkeys, dvalues;                 ///< of a head: rows of keys
  Panels queries, douts;                 ///< of a chunk: a column a query
  Panels query_features, dout_features;  ///< of a chunk: a column a feature
  Blocks dqueries;                       ///< of a chunk: rows of queries, a column a query in each
  float *lse, *correction;               ///< of a chunk; correction: dlse - dout * out
  Blocks scores, dp;                     ///< two
  Panels p, ds;                          ///< two: a row a key
  Panels ds_by_query;                    ///< two: a column a query
  std::size_t bytes;

  GradientBuffers(Workspace&& w, const HeadPanels& head)
      : keys(w.panels(head.panels, head.steps)),
        values(w.panels(head.panels, head.steps)),
        key_features(w.panels(head.steps, head.panels)),
        dkeys(w.blocks(head.panels, head.steps)),
        dvalues(w.blocks(head.panels, head.steps)),
        queries(w.panels(kChunk, head.steps)),
        douts(w.panels(kChunk, head.steps)),
        query_features(w.panels(head.steps, kChunk)),
        dout_features(w.panels(head.steps, kChunk)),
        dqueries(w.blocks(kChunk, head.steps)),
        lse(w.floats(kChunk * kPanel)),
        correction(w.floats(kChunk * kPanel)),
        scores(w.blocks(2, kChunk)),
        dp(w.blocks(2, kChunk)),
        p(w.panels(2, kChunk)),
        ds(w.panels(2, kChunk)),
        ds_by_query(w.panels(2 * kChunk, kChunk)),
        bytes(w.bytes()) {}
};

/// A panel of keys and panels [from, queries) of a chunk of queries.
struct GradientTurn {
  std::int64_t k = 0;  ///< the first panel of the chunk of keys
  std::int64_t key = 0, from = 0, queries = 0;
  std::int64_t number = 0;

  [[nodiscard]] std::int64_t panel() const { return k + key; }
  [[nodiscard]] std::int64_t blocks() const { return queries - from; }
  [[nodiscard]] std::int64_t parity() const { return number % 2; }
  [[nodiscard]] std::int64_t chunk_parity() const { return k / GradientBuffers::kChunk % 2; }
};

/// p = exp(scale * score - lse), ds = p * (dp + correction), both 0 for keys that a query does not see.
class Differentiation {
 public:
  /// @param scale times log2(e); so is lse of the buffers  @param q first panel of the chunk of queries
  Differentiation(const HeadPanels& head, __m512 scale, const GradientBuffers& w, std::int64_t q,
                  const GradientTurn& turn)
      : head_(head),
        scale_(scale),
        w_(w),
        q_(q),
        turn_(turn),
        left_(turn.blocks() * kPiecesABlock) {
    if (left_ > 0) begin_block();
  }

  [[nodiscard]] std::int64_t pieces() const { return left_; }
  [[nodiscard]] HWY_INLINE bool has_more() const { return left_ > 0; }
  HWY_NOINLINE void next_piece() {
    const std::uint32_t pair = piece_ / kPiecesAPair, key = pair + pair / kPairs * kPairs;
    switch (piece_ % kPiecesAPair) {
      case 0:
        return differentiate(key, 0);
      case 1:
        return differentiate(key + kPairs, 1);
      case 2:
        return store_by_key(key);
      default:
        store_by_query(pair);
    }
  }

 private:
  static constexpr std::uint32_t kPiecesAPair = 4, kPiecesABlock = kPiecesAPair * kTileRows;

  void begin_block() {
    seen_ = Seen(head_, turn_.panel(), q_ + turn_.from);
    scores_ = w_.scores.at(turn_.parity(), turn_.from);
    dp_ = w_.dp.at(turn_.parity(), turn_.from);
    lse_ = w_.lse + turn_.from * kPanel;
    correction_ = w_.correction + turn_.from * kPanel;
    p_ = w_.p.at(turn_.parity(), turn_.from);
    ds_ = w_.ds.at(turn_.parity(), turn_.from);
    ds_by_query_ =
        w_.ds_by_query.at(turn_.chunk_parity() * GradientBuffers::kChunk + turn_.from, turn_.key);
    piece_ = 0;
  }
  HWY_INLINE void count_piece() {
    --left_;
    if (++piece_ < kPiecesABlock || left_ == 0) return;
    ++turn_.from;
    begin_block();
  }
  static HWY_INLINE std::int64_t tile_row(std::uint32_t key) {
    return key / kTileRows * kTileBytes + key % kTileRows * kTileRowBytes;
  }

  /// Keeps ds of a key, the first or second of a pair, and stores p.
  HWY_INLINE void differentiate(std::uint32_t key, std::uint32_t number) {
    __m512 p[kHalves];
    for (std::uint32_t half = 0; half < kHalves; ++half) {
      const std::uint32_t at = key * kPanel + half * kLanes;
      const __m512 lse = _mm512_load_ps(lse_ + half * kLanes);
      const __m512 correction = _mm512_load_ps(correction_ + half * kLanes);
      __m512 d = _mm512_add_ps(_mm512_load_ps(dp_ + at), correction);
      p[half] = exp2(_mm512_fmsub_ps(_mm512_load_ps(scores_ + at), scale_, lse));
      if (HWY_UNLIKELY(!seen_.all())) {
        p[half] = _mm512_maskz_mov_ps(seen_.by(half, key), p[half]);
        d = _mm512_maskz_mov_ps(seen_.by(half, key), d);
      }
      kept_[number][half] = _mm512_mul_ps(p[half], d);
    }
    store_terms(p[0], p[1], p_ + tile_row(key));
    count_piece();
  }
  HWY_INLINE void store_by_key(std::uint32_t key) {
    store_terms(kept_[0][0], kept_[0][1], ds_ + tile_row(key));
    store_terms(kept_[1][0], kept_[1][1], ds_ + tile_row(key + kPairs));
    count_piece();
  }
  HWY_INLINE void store_by_query(std::uint32_t pair) {
    for (std::uint32_t half = 0; half < kHalves; ++half)
      store_pairs(kept_[0][half], kept_[1][half],
                  ds_by_query_ + half * kTileBytes + pair * kTileRowBytes);
    count_piece();
  }

  const HeadPanels& head_;
  __m512 scale_;
  __m512 kept_[2][kHalves];  ///< ds of a pair of keys
  const GradientBuffers& w_;
  std::int64_t q_;
  GradientTurn turn_;  ///< its first block that is not done yet
  Seen seen_{};
  const float *scores_ = nullptr, *dp_ = nullptr, *lse_ = nullptr, *correction_ = nullptr;
  std::byte *p_ = nullptr, *ds_ = nullptr, *ds_by_query_ = nullptr;
  std::int64_t left_;
  std::uint32_t piece_ = 0;
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
