// How attention walks its scores, and the products of a block. No target-specific code here.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "codelets/cpu/matrix_product.hpp"
#include "codelets/cpu/workspace_layout.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

inline constexpr std::int64_t kBlockQueries = 128, kBlockKeys = 512;
/// Between the rows of a block of scores: not a power of two, whose rows would share few cache sets.
inline constexpr std::int64_t kScoreStride = kBlockKeys + 16;

/// Queries [first_query, + queries) against keys [first_key, + keys).
struct ScoreBlock {
  std::int64_t first_query, queries, first_key, keys;
  std::int64_t end_key;  ///< one past the last key that these queries see
  bool causal;

  [[nodiscard]] bool is_first() const { return first_key == 0; }
  [[nodiscard]] bool is_last() const { return first_key + keys == end_key; }
  /// Keys of the block that its query `r` sees: the first so many.
  [[nodiscard]] std::int64_t seen_keys(std::int64_t r) const {
    return causal ? std::min(keys, first_query + r - first_key + 1) : keys;
  }
};

template <class T>
[[nodiscard]] T* element(const TensorView& view, std::initializer_list<std::int64_t> index) {
  std::int64_t at = 0;
  int i = 0;
  for (const auto x : index) at += x * view.strides[i++];
  return view.as<T>() + at;
}

/// A head of one sample; `row` elements from token to token.
template <class T>
struct HeadPointers {
  T *query, *key, *value;
  std::int64_t row;
};

/// The heads of a tile of qkv [samples, tokens, heads, 3, features].
class AttentionHeads {
 public:
  AttentionHeads(const KernelArgs& args, const TensorView& qkv)
      : extents_(qkv.extents),
        row_(qkv.strides[1]),
        dtype_(qkv.dtype),
        causal_(args.attrs->integer("causal") != 0),
        scale_(args.attrs->real("scale")) {
    if (scale_ == 0) scale_ = 1 / std::sqrt(static_cast<double>(features()));
  }
  [[nodiscard]] std::int64_t tokens() const { return extents_[1]; }
  [[nodiscard]] std::int64_t features() const { return extents_[4]; }
  /// Of qkv, and of what the products multiply: probabilities and their gradients too.
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] bool is_causal() const { return causal_; }
  [[nodiscard]] float scale() const { return static_cast<float>(scale_); }
  template <class T>
  [[nodiscard]] static HeadPointers<T> at(const TensorView& qkv, std::int64_t n, std::int64_t h) {
    return {element<T>(qkv, {n, 0, h, 0}), element<T>(qkv, {n, 0, h, 1}),
            element<T>(qkv, {n, 0, h, 2}), qkv.strides[1]};
  }

  /// Between tokens of the sums that dqkv is formed of: in place in f32, else in the workspace.
  [[nodiscard]] std::int64_t gradient_row(const TensorView& dqkv) const {
    return dtype_ == DType::f32 ? dqkv.strides[1] : 3 * features();
  }

  /// body(sample, head)
  template <class Body>
  void for_each(const Body& body) const {
    for (std::int64_t n = 0; n < extents_[0]; ++n)
      for (std::int64_t h = 0; h < extents_[2]; ++h) body(n, h);
  }
  /// body(block): the key blocks of a query block one after the other.
  template <class Body>
  void for_each_block(const Body& body) const {
    for (std::int64_t q = 0; q < tokens(); q += kBlockQueries) {
      const std::int64_t queries = std::min(kBlockQueries, tokens() - q);
      const std::int64_t end = causal_ ? q + queries : tokens();
      for (std::int64_t k = 0; k < end; k += kBlockKeys)
        body(ScoreBlock{q, queries, k, std::min(kBlockKeys, end - k), end, causal_});
    }
  }

  /// q k'
  [[nodiscard]] MatrixProduct scores(const ScoreBlock& b) const { return by_pair(b, row_); }
  /// dout v'
  [[nodiscard]] MatrixProduct value_products(const ScoreBlock& b, std::int64_t dout_row) const {
    return by_pair(b, dout_row);
  }
  /// p v, added to earlier key blocks of the same queries; dense.
  [[nodiscard]] MatrixProduct weighted_values(const ScoreBlock& b) const {
    return by_query(b, features(), !b.is_first());
  }
  /// y += ds k
  [[nodiscard]] MatrixProduct add_by_query(const ScoreBlock& b, std::int64_t y_row) const {
    return by_query(b, y_row, true);
  }
  /// y += (p or ds)' times the rows of the queries, `row` apart
  [[nodiscard]] MatrixProduct add_by_key(const ScoreBlock& b, std::int64_t row,
                                         std::int64_t y_row) const {
    return MatrixProduct({.m = b.keys,
                          .n = features(),
                          .k = b.queries,
                          .a = {1, kScoreStride},
                          .b = {row, 1},
                          .y_row = y_row,
                          .sum = true,
                          .factors = dtype_});
  }

 private:
  [[nodiscard]] MatrixProduct by_pair(const ScoreBlock& b, std::int64_t query_row) const {
    return MatrixProduct({.m = b.queries,
                          .n = b.keys,
                          .k = features(),
                          .a = {query_row, 1},
                          .b = {1, row_},
                          .y_row = kScoreStride,
                          .factors = dtype_});
  }
  [[nodiscard]] MatrixProduct by_query(const ScoreBlock& b, std::int64_t y_row, bool sum) const {
    return MatrixProduct({.m = b.queries,
                          .n = features(),
                          .k = b.keys,
                          .a = {kScoreStride, 1},
                          .b = {row_, 1},
                          .y_row = y_row,
                          .sum = sum,
                          .factors = dtype_});
  }

  Extents extents_;
  std::int64_t row_;
  DType dtype_;
  bool causal_;
  double scale_;
};

/// Where the parts of a kernel's workspace lie, forward and backward alike; what the products need comes last.
struct AttentionLayout {
  WorkspaceLayout layout;
  std::int64_t scores, dp, out, most, sum, p, ds, dqkv, scratch;

  explicit AttentionLayout(const AttentionHeads& heads)
      : scores(floats(kBlockQueries * kScoreStride)),
        dp(floats(kBlockQueries * kScoreStride)),
        out(floats(kBlockQueries * heads.features())),
        most(floats(kBlockQueries)),
        sum(floats(kBlockQueries)),
        p(narrow(heads, kBlockQueries * kScoreStride)),
        ds(narrow(heads, kBlockQueries * kScoreStride)),
        dqkv(narrow(heads, 2 * heads.tokens() * 3 * heads.features())),
        scratch(layout.add(0)) {}

 private:
  std::int64_t floats(std::int64_t n) {
    return layout.add(n * static_cast<std::int64_t>(sizeof(float)));
  }
  /// Nothing in f32.
  std::int64_t narrow(const AttentionHeads& heads, std::int64_t n) {
    return layout.add(heads.dtype() == DType::bf16 ? 2 * n : 0);
  }
};

/// @tparam T of qkv
template <class T>
struct AttentionWorkspace {
  float *scores, *dp, *out;
  float *most, *sum;  ///< one a query
  T *p, *ds;          ///< factors of products: where scores and dp are, if those are of type T
  float* dqkv;        ///< bf16: sums of a head's gradient [tokens, 3, features]
  std::byte* scratch;

  AttentionWorkspace(const KernelArgs& args, const AttentionHeads& heads) {
    const AttentionLayout at(heads);
    std::byte* base = args.workspace.data();
    const auto floats = [&](std::int64_t offset) {
      return reinterpret_cast<float*>(base + offset);
    };
    scores = floats(at.scores);
    dp = floats(at.dp);
    out = floats(at.out);
    most = floats(at.most);
    sum = floats(at.sum);
    constexpr bool kIsF32 = sizeof(T) == sizeof(float);
    p = reinterpret_cast<T*>(base + (kIsF32 ? at.scores : at.p));
    ds = reinterpret_cast<T*>(base + (kIsF32 ? at.dp : at.ds));
    dqkv = floats(at.dqkv);
    scratch = base + at.scratch;
  }
};

/// For SelfAttention (inputs qkv) and its gradient (qkv, out, lse, dout, ...).
[[nodiscard]] inline std::size_t attention_workspace(const KernelArgs& args) {
  const AttentionHeads heads(args, args.in(0));
  std::int64_t scratch = 0;
  const auto need = [&](const MatrixProduct& p) { scratch = std::max(scratch, p.scratch_bytes()); };
  heads.for_each_block([&](const ScoreBlock& b) {
    need(heads.scores(b));
    if (args.inputs.size() == 1) return need(heads.weighted_values(b));
    const std::int64_t dout_row = args.in(3).strides[1];
    const std::int64_t drow = heads.gradient_row(args.out(0));
    need(heads.value_products(b, dout_row));
    need(heads.add_by_key(b, dout_row, drow));
    need(heads.add_by_key(b, args.in(0).strides[1], drow));
    need(heads.add_by_query(b, drow));
  });
  return AttentionLayout(heads).layout.bytes() + static_cast<std::size_t>(scratch);
}

}  // namespace hpdlf::codelets
