// SelfAttention on tiles. Include it once, in codelets/cpu/split_attention.cc.
//
// While the scores of one chunk of keys are exponentiated, tiles multiply those of the next, and the probabilities of the one before with
// its values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// Parts of the workspace. Of two of a kind, one is for even panels of queries, or even turns.
struct ForwardBuffers {
  static constexpr std::int64_t kKeys =
      8;                ///< panels whose scores are exponentiated in a turn: measured
  Panels keys, values;  ///< of a head; values: a row a feature
  Panels queries, p;    ///< two: a column a query
  Blocks scores, out;   ///< two; out: sums of p * value, a row a feature
  std::size_t bytes;

  ForwardBuffers(Workspace&& w, const HeadPanels& head)
      : keys(w.panels(head.panels, head.steps)),
        values(w.panels(head.steps, head.panels)),
        queries(w.panels(2, head.steps)),
        p(w.panels(2, kKeys)),
        scores(w.blocks(2, kKeys)),
        out(w.blocks(2, head.steps)),
        bytes(w.bytes()) {}
};

/// A panel of queries: what is known of it so far.
struct Running {
  __m512 most[kHalves];  ///< largest scaled score, times log2(e)
  __m512 sum[kHalves];   ///< of exp(scaled score) / 2^most
};

/// p = 2^(scale * score - most) of a panel of queries and some panels of keys, 0 for keys that a query does not see.
class Exponentiation {
 public:
  Exponentiation(const HeadPanels& head, __m512 scale, std::int64_t q, std::int64_t k,
                 std::int64_t count, const float* scores, std::byte* p, Running& running)
      : head_(head),
        scale_(scale),
        q_(q),
        k_(k),
        scores_(scores),
        p_(p),
        running_(running),
        seen_(head, k, q),
        left_(count * kPiecesABlock) {
    __m512 most[kHalves];
    for (auto& m : most) m = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
    for (std::int64_t i = 0; i < count; ++i) {
      const Seen seen(head_, k + i, q);
      if (seen.all())
        find_largest<true>(seen, scores + i * kSums, most);
      else
        find_largest<false>(seen, scores + i * kSums, most);
    }
    for (std::int64_t half = 0; half < kHalves; ++half) {
      most[half] = _mm512_mul_ps(most[half], scale_);
      if (k > 0) {
        most[half] = _mm512_max_ps(most[half], running.most[half]);
        correction_[half] = exp2(_mm512_sub_ps(running.most[half], most[half]));
        running.sum[half] = _mm512_mul_ps(running.sum[half], correction_[half]);
      } else {
        running.sum[half] = _mm512_setzero_ps();
      }
      running.most[half] = most[half];
    }
  }

  [[nodiscard]] std::int64_t pieces() const { return left_; }
  [[nodiscard]] HWY_INLINE bool has_more() const { return left_ > 0; }
  /// A row of tiles: two keys of half of the queries.
  HWY_INLINE void next_piece() {
    const std::uint32_t half = piece_ % kHalves, pair = piece_ / kHalves;
    const std::uint32_t key = pair + pair / kPairs * kPairs;  // and key + 8
    const float* from = scores_ + key * kPanel + half * kLanes;
    const __m512 most = running_.most[half];
    __m512 one = exp2(_mm512_fmsub_ps(_mm512_load_ps(from), scale_, most));
    __m512 other = exp2(_mm512_fmsub_ps(_mm512_load_ps(from + kPairs * kPanel), scale_, most));
    if (HWY_UNLIKELY(!seen_.all())) {
      one = _mm512_maskz_mov_ps(seen_.by(half, key), one);
      other = _mm512_maskz_mov_ps(seen_.by(half, key + kPairs), other);
    }
    running_.sum[half] = _mm512_add_ps(running_.sum[half], _mm512_add_ps(one, other));
    store_pairs(one, other, p_ + half * kTileBytes + pair * kTileRowBytes);
    --left_;
    if (HWY_UNLIKELY(++piece_ == kPiecesABlock)) next_block();
  }
  /// What is to be multiplied with what was summed with another maximum.
  [[nodiscard]] __m512 correction(std::int64_t half) const { return correction_[half]; }

 private:
  static constexpr std::uint32_t kPiecesABlock = kHalves * kTileRows;

  HWY_NOINLINE void next_block() {
    piece_ = 0;
    seen_ = Seen(head_, ++k_, q_);
    scores_ += kSums;
    p_ += kStepBytes;
  }

  template <bool kAll>
  static HWY_INLINE void find_largest(const Seen& seen, const float* scores,
                                      __m512 (&most)[kHalves]) {
    __m512 second[kHalves] = {most[0], most[1]};  // two chains
    const auto take = [&](__m512& largest, std::int64_t half, std::int64_t key) HWY_ATTR {
      const __mmask16 mask = kAll ? 0xFFFF : seen.by(half, key);
      const __m512 s = _mm512_load_ps(scores + key * kPanel + half * kLanes);
      largest = _mm512_mask_max_ps(largest, mask, largest, s);
    };
    for (std::int64_t key = 0; key < kPanel; key += 2)
      for (std::int64_t half = 0; half < kHalves; ++half) {
        take(most[half], half, key);
        take(second[half], half, key + 1);
      }
    for (std::int64_t half = 0; half < kHalves; ++half)
      most[half] = _mm512_max_ps(most[half], second[half]);
  }

  const HeadPanels& head_;
  __m512 scale_;
  __m512 correction_[kHalves];
  std::int64_t q_, k_;
  const float* scores_;
  std::byte* p_;
  Running& running_;
  Seen seen_;
  std::int64_t left_;
  std::uint32_t piece_ = 0;
};

class Forward {
 public:
  Forward(const AttentionHeads& heads, std::byte* workspace)
      : head_(heads),
        scale_(_mm512_set1_ps(heads.scale() * kLog2OfE)),
        w_(Workspace(workspace), head_) {}

  /// A head. @param out rows `row` apart of features  @param lse an element a query, `lse_row` apart
  void run(const HeadPointers<float>& head, float* out, std::int64_t row, float* lse,
           std::int64_t lse_row) {
    query_ = by_token(head.query, head_, head.row);
    key_ = by_token(head.key, head_, head.row);
    value_ = by_token(head.value, head_, head.row);
    out_ = out, row_ = row, lse_ = lse, lse_row_ = lse_row, packed_ = 0;
    Fetching fetching;
    Turn before{0, 0, 0, 0}, turn = turn_at(0, 0, 0);
    pack(turn);
    multiply_scores(turn, fetching);
    while (turn.count > 0) {
      const Turn next = after(turn);
      if (next.count > 0) pack(next);
      Running& running = running_[turn.q % 2];
      Exponentiation work(head_, scale_, turn.q, turn.k, turn.count, w_.scores.at(turn.parity),
                          w_.p.at(turn.parity), running);
      Beside beside(work, (next.count + before.count) * head_.steps);
      multiply_scores(next, beside);
      add_values(before, beside);
      beside.finish();
      finish(before);
      if (turn.k > 0)
        scale_out(turn.q, [&](std::int64_t half) HWY_ATTR { return work.correction(half); });
      before = turn;
      turn = next;
    }
    add_values(before, fetching);
    finish(before);
  }

 private:
  /// Queries of panel q and `count` panels of keys from k on; none: nothing is to do.
  struct Turn {
    std::int64_t q, k, count, parity;
  };
  [[nodiscard]] Turn turn_at(std::int64_t q, std::int64_t k, std::int64_t parity) const {
    return {q, k, std::min(ForwardBuffers::kKeys, head_.end_of_keys(q) - k), parity};
  }
  [[nodiscard]] Turn after(const Turn& t) const {
    if (t.k + t.count < head_.end_of_keys(t.q)) return turn_at(t.q, t.k + t.count, 1 - t.parity);
    if (t.q + 1 < head_.panels) return turn_at(t.q + 1, 0, 1 - t.parity);
    return {0, 0, 0, 0};
  }

  void pack(const Turn& t) {
    if (t.k == 0)
      PanelPacking(query_.transposed(), t.q * kPanel, 0, head_.features, w_.queries.at(t.q % 2), 1)
          .finish();
    for (; packed_ < t.k + t.count; ++packed_) {
      pack_rows_panel(key_, packed_ * kPanel, 0, head_.features, w_.keys.at(packed_));
      for (std::int64_t f = 0; f < head_.steps; ++f)
        pack_rows_panel(value_.transposed(), f * kPanel, packed_ * kPanel, kPanel,
                        w_.values.at(f, packed_));
    }
  }
  template <class Meanwhile>
  void multiply_scores(const Turn& t, Meanwhile& meanwhile) const {
    for (std::int64_t i = 0; i < t.count; ++i)
      multiply(w_.keys.at(t.k + i), w_.queries.at(t.q % 2), head_.steps, w_.scores.at(t.parity, i),
               meanwhile);
  }
  template <class Meanwhile>
  void add_values(const Turn& t, Meanwhile& meanwhile) const {
    if (t.count == 0) return;
    for (std::int64_t f = 0; f < head_.steps; ++f)
      multiply(w_.values.at(f, t.k), w_.p.at(t.parity), t.count, w_.out.at(t.q % 2, f), meanwhile,
               t.k > 0);
  }
  /// Stores the results of a panel of queries after its last turn.
  void finish(const Turn& t) const {
    if (t.count == 0 || t.k + t.count < head_.end_of_keys(t.q)) return;
    const Running& running = running_[t.q % 2];
    scale_out(t.q, [&](std::int64_t half)
                       HWY_ATTR { return _mm512_div_ps(_mm512_set1_ps(1), running.sum[half]); });
    const std::int64_t token = t.q * kPanel, queries = std::min(kPanel, head_.tokens - token);
    store_transposed(w_.out.at(t.q % 2), head_.features, queries, 1, out_ + token * row_, row_);
    alignas(64) float logs[kPanel];
    for (std::int64_t half = 0; half < kHalves; ++half)
      _mm512_store_ps(logs + half * kLanes,
                      _mm512_fmadd_ps(running.most[half], _mm512_set1_ps(1 / kLog2OfE),
                                      log(VF32{running.sum[half]}).raw));
    for (std::int64_t i = 0; i < queries; ++i) lse_[(token + i) * lse_row_] = logs[i];
  }
  /// out *= factor(half), a factor a query.
  template <class Factor>
  HWY_INLINE void scale_out(std::int64_t q, const Factor& factor) const {
    const __m512 factors[kHalves] = {factor(0), factor(1)};
    float* out = w_.out.at(q % 2);
    for (std::int64_t i = 0; i < head_.steps * kSums; i += kPanel)
      for (std::int64_t half = 0; half < kHalves; ++half) {
        float* at = out + i + half * kLanes;
        _mm512_store_ps(at, _mm512_mul_ps(_mm512_load_ps(at), factors[half]));
      }
  }

  HeadPanels head_;
  __m512 scale_;
  ForwardBuffers w_;
  Matrix query_{}, key_{}, value_{};
  float *out_ = nullptr, *lse_ = nullptr;
  std::int64_t row_ = 0, lse_row_ = 0;
  std::int64_t packed_ = 0;  ///< panels of keys and values
  Running running_[2];
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
