// SelfAttentionGrad on tiles. Include it once, in codelets/cpu/split_attention.cc.
//
// Chunks of four panels of queries meet panels of keys. While p and ds of one panel of keys are computed, tiles multiply the scores of the
// next, and add up the gradients from the one before.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

class Gradient {
 public:
  static constexpr std::int64_t kChunk = GradientBuffers::kChunk;

  Gradient(const AttentionHeads& heads, std::byte* workspace)
      : head_(heads), scale_(heads.scale()), w_(Workspace(workspace), head_) {}

  /// Begins with a head, whose gradient is to be written. dout's rows are `dout_row` apart.
  void begin(const HeadPointers<float>& head, const float* dout, std::int64_t dout_row,
             const HeadPointers<float>& gradient) {
    gradient_ = gradient;
    query_ = by_token(head.query, head_, head.row);
    key_ = by_token(head.key, head_, head.row);
    value_ = by_token(head.value, head_, head.row);
    dout_ = by_token(dout, head_, dout_row);
  }

  [[nodiscard]] std::int64_t panels() const { return head_.panels; }
  /// Room for a number for each query of a chunk.
  [[nodiscard]] float* lse() const { return w_.lse; }
  [[nodiscard]] float* correction() const { return w_.correction; }

  /// The queries of panels [q, q + kChunk), whose lse() and correction() are there.
  void add_queries(std::int64_t q) {
    const std::int64_t count = std::min(kChunk, head_.panels - q);
    pack_queries(q, count);
    Fetching fetching;
    GradientTurn before, turn = turn_at(q, 0, 0, 0);
    pack_keys(q, turn);
    multiply_scores(turn, fetching);
    while (turn.blocks() > 0) {
      const GradientTurn next = after(q, turn);
      pack_keys(q, next);
      Differentiation work(head_, _mm512_set1_ps(scale_ * kLog2OfE), w_, q, turn);
      Beside beside(
          work, head_.steps * 2 * (next.blocks() + before.blocks()) + steps_of_dqueries(q, before));
      multiply_scores(next, beside);
      add_products(q, before, beside);
      beside.finish();
      before = turn;
      turn = next;
    }
    add_products(q, before, fetching);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t token = (q + i) * kPanel;
      store_transposed(w_.dqueries.at(i), head_.features, std::min(kPanel, head_.tokens - token),
                       scale_, gradient_.query + token * gradient_.row, gradient_.row);
    }
  }

  void store_keys() const {
    const __m512 scale = _mm512_set1_ps(scale_);
    float *dkey = gradient_.key, *dvalue = gradient_.value;
    const std::int64_t row = gradient_.row;
    for (std::int64_t t = 0; t < head_.tokens; ++t)
      for (std::int64_t f = 0; f < head_.features; f += kLanes) {
        const std::int64_t at = t % kPanel * kPanel + f % kPanel;
        const __m512 dk = _mm512_load_ps(w_.dkeys.at(t / kPanel, f / kPanel) + at);
        const __m512 dv = _mm512_load_ps(w_.dvalues.at(t / kPanel, f / kPanel) + at);
        const __mmask16 mask = first(head_.features - f);
        _mm512_mask_storeu_ps(dkey + t * row + f, mask, _mm512_mul_ps(dk, scale));
        _mm512_mask_storeu_ps(dvalue + t * row + f, mask, dv);
      }
  }

 private:
  /// Chunks of queries from panel q and of keys from panel k on are the same tokens, and later ones are not seen.
  [[nodiscard]] bool is_on_diagonal(std::int64_t q, std::int64_t k) const {
    return head_.causal && k == q;
  }
  /// The turn in which the first queries see the keys.
  [[nodiscard]] bool is_first(std::int64_t q, const GradientTurn& t) const {
    return head_.causal ? is_on_diagonal(q, t.k) : q == 0;
  }
  [[nodiscard]] std::int64_t keys_of(const GradientTurn& t) const {
    return std::min(kChunk, head_.panels - t.k);
  }
  /// Panels of a chunk of keys that panel i of the queries sees.
  [[nodiscard]] std::int64_t seen_keys(std::int64_t q, const GradientTurn& t,
                                       std::int64_t i) const {
    return is_on_diagonal(q, t.k) ? i + 1 : keys_of(t);
  }
  [[nodiscard]] GradientTurn turn_at(std::int64_t q, std::int64_t k, std::int64_t key,
                                     std::int64_t number) const {
    return {k, key, is_on_diagonal(q, k) ? key : 0, std::min(kChunk, head_.panels - q), number};
  }
  [[nodiscard]] GradientTurn after(std::int64_t q, const GradientTurn& t) const {
    if (t.key + 1 < keys_of(t)) return turn_at(q, t.k, t.key + 1, t.number + 1);
    const std::int64_t k = t.k + kChunk;
    if (k < head_.end_of_keys(q)) return turn_at(q, k, 0, t.number + 1);
    return {};
  }

  void pack_queries(std::int64_t q, std::int64_t count) {
    const std::int64_t token = q * kPanel, tokens = std::min(count * kPanel, head_.tokens - token);
    // What pads the last panel is multiplied with 0; it must be finite.
    for (std::int64_t t = tokens; t < count * kPanel; ++t) w_.lse[t] = w_.correction[t] = 0;
    for (std::int64_t t = 0; t < tokens; ++t) w_.lse[t] *= kLog2OfE;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t column = token + i * kPanel;
      PanelPacking(query_.transposed(), column, 0, head_.features, w_.queries.at(i), 1).finish();
      PanelPacking(dout_.transposed(), column, 0, head_.features, w_.douts.at(i), 1).finish();
    }
    for (std::int64_t f = 0; f < head_.steps; ++f) {
      const std::int64_t column = f * kPanel;
      PanelPacking(query_, column, token, tokens, w_.query_features.at(f), 1).finish();
      PanelPacking(dout_, column, token, tokens, w_.dout_features.at(f), 1).finish();
    }
  }
  void pack_keys(std::int64_t q, const GradientTurn& t) {
    if (t.blocks() == 0 || !is_first(q, t)) return;
    const std::int64_t panel = t.panel(), token = panel * kPanel;
    pack_rows_panel(key_, token, 0, head_.features, w_.keys.at(panel));
    pack_rows_panel(value_, token, 0, head_.features, w_.values.at(panel));
    for (std::int64_t f = 0; f < head_.steps; ++f)
      pack_rows_panel(key_.transposed(), f * kPanel, token, kPanel, w_.key_features.at(f, panel));
  }

  template <class Meanwhile>
  void multiply_scores(const GradientTurn& t, Meanwhile& meanwhile) const {
    for (std::int64_t i = t.from; i < t.queries; ++i) {
      multiply(w_.keys.at(t.panel()), w_.queries.at(i), head_.steps, w_.scores.at(t.parity(), i),
               meanwhile);
      multiply(w_.values.at(t.panel()), w_.douts.at(i), head_.steps, w_.dp.at(t.parity(), i),
               meanwhile);
    }
  }
  /// To dkeys and dvalues; after the last keys of a chunk, to dqueries.
  template <class Meanwhile>
  void add_products(std::int64_t q, const GradientTurn& t, Meanwhile& meanwhile) const {
    if (t.blocks() == 0) return;
    const bool continues = !is_first(q, t);
    for (std::int64_t f = 0; f < head_.steps; ++f) {
      multiply(w_.p.at(t.parity(), t.from), w_.dout_features.at(f, t.from), t.blocks(),
               w_.dvalues.at(t.panel(), f), meanwhile, continues);
      multiply(w_.ds.at(t.parity(), t.from), w_.query_features.at(f, t.from), t.blocks(),
               w_.dkeys.at(t.panel(), f), meanwhile, continues);
    }
    if (t.key + 1 < keys_of(t)) return;
    for (std::int64_t i = 0; i < t.queries; ++i)
      for (std::int64_t f = 0; f < head_.steps; ++f)
        multiply(w_.key_features.at(f, t.k), w_.ds_by_query.at(t.chunk_parity() * kChunk + i),
                 seen_keys(q, t, i), w_.dqueries.at(i, f), meanwhile, t.k > 0);
  }
  [[nodiscard]] std::int64_t steps_of_dqueries(std::int64_t q, const GradientTurn& t) const {
    if (t.blocks() == 0 || t.key + 1 < keys_of(t)) return 0;
    std::int64_t steps = 0;
    for (std::int64_t i = 0; i < t.queries; ++i) steps += head_.steps * seen_keys(q, t, i);
    return steps;
  }

  HeadPanels head_;
  float scale_;
  GradientBuffers w_;
  Matrix query_{}, key_{}, value_{}, dout_{};
  HeadPointers<float> gradient_{};
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
