// How the head of a language model walks its scores, and the products of a block. No target-specific code here.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "codelets/cpu/labels.hpp"
#include "codelets/cpu/matrix_product.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/cpu/workspace_layout.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

inline constexpr std::int64_t kHeadTokens = 512, kHeadWords = 512;
/// Between the rows of a block of scores: not a power of two, whose rows would share few cache sets.
inline constexpr std::int64_t kHeadStride = kHeadWords + 16;

/// Tokens [first_token, + tokens) of a run and words [first_word, + words) of a tile.
struct HeadBlock {
  std::int64_t first_token, tokens, first_word, words;
};

/// body(block), words in the outer loop.
template <class Body>
void for_each_head_block(std::int64_t tokens, std::int64_t words, const Body& body) {
  for (std::int64_t w = 0; w < words; w += kHeadWords)
    for (std::int64_t t = 0; t < tokens; t += kHeadTokens)
      body(HeadBlock{t, std::min(kHeadTokens, tokens - t), w, std::min(kHeadWords, words - w)});
}

/// Runs of tokens whose rows are equally far apart in every view.
class TokenRuns {
 public:
  /// @param with_channels views [.., channels]. @param without views [..], numbered after them.
  TokenRuns(std::initializer_list<const TensorView*> with_channels,
            std::initializer_list<const TensorView*> without)
      : rows_(walk(with_channels, without)) {}
  [[nodiscard]] std::int64_t length() const { return rows_.length(); }
  [[nodiscard]] std::int64_t stride(int view) const { return rows_.stride(view); }
  /// body(at): at[i] is the offset of the run in view i.
  template <class Body>
  void for_each(const Body& body) const {
    rows_.for_each(body);
  }

 private:
  static Rows walk(std::initializer_list<const TensorView*> with_channels,
                   std::initializer_list<const TensorView*> without) {
    std::vector<TensorView> firsts;
    for (const TensorView* view : with_channels) {
      HPDLF_ASSERT(view->extents.back() == 1 || view->strides.back() == 1,
                   "the channels of a token lie {} apart", view->strides.back());
      firsts.push_back(at_index(*view, view->rank() - 1, 0));
    }
    std::vector<const TensorView*> views;
    views.reserve(firsts.size() + without.size());
    for (const TensorView& view : firsts) views.push_back(&view);
    views.insert(views.end(), without.begin(), without.end());
    return Rows(std::span<const TensorView* const>(views));
  }
  Rows rows_;
};

/// The products of a block of scores, rows of x `x_row` apart.
class HeadProducts {
 public:
  HeadProducts(const TensorView& x, const TensorView& table, std::int64_t x_row)
      : channels_(x.extents.back()), x_row_(x_row), table_row_(table.strides[0]), dtype_(x.dtype) {}

  /// x table'
  [[nodiscard]] MatrixProduct scores(const HeadBlock& b) const {
    return MatrixProduct({.m = b.tokens,
                          .n = b.words,
                          .k = channels_,
                          .a = {x_row_, 1},
                          .b = {1, table_row_},
                          .y_row = kHeadStride,
                          .factors = dtype_});
  }
  /// dx (+)= dscores table, the first words write
  [[nodiscard]] MatrixProduct by_token(const HeadBlock& b, std::int64_t dx_row) const {
    return MatrixProduct({.m = b.tokens,
                          .n = channels_,
                          .k = b.words,
                          .a = {kHeadStride, 1},
                          .b = {table_row_, 1},
                          .y_row = dx_row,
                          .sum = b.first_word > 0,
                          .factors = dtype_});
  }
  /// dtable (+)= dscores' x
  [[nodiscard]] MatrixProduct by_word(const HeadBlock& b, std::int64_t dtable_row, bool sum) const {
    return MatrixProduct({.m = b.words,
                          .n = channels_,
                          .k = b.tokens,
                          .a = {1, kHeadStride},
                          .b = {x_row_, 1},
                          .y_row = dtable_row,
                          .sum = sum,
                          .factors = dtype_});
  }

 private:
  std::int64_t channels_, x_row_, table_row_;
  DType dtype_;
};

/// @tparam T of x and the table
template <class T>
struct HeadWorkspace {
  static constexpr std::int64_t kScores = kHeadTokens * kHeadStride;
  /// Gradients by scores are multiplied: they are of type T, in the place of the scores if that is theirs.
  static constexpr std::int64_t kBytes =
      kScores *
      static_cast<std::int64_t>(sizeof(float) + (sizeof(T) < sizeof(float) ? sizeof(T) : 0));
  float* scores;
  T* dscores;
  std::byte* scratch;
  explicit HeadWorkspace(const KernelArgs& args)
      : scores(reinterpret_cast<float*>(args.workspace.data())),
        scratch(args.workspace.data() + kBytes) {
    dscores = reinterpret_cast<T*>(sizeof(T) < sizeof(float) ? scores + kScores : scores);
  }
};

/// For LmHeadSums (one output) and its gradient (two).
[[nodiscard]] inline std::size_t lm_head_workspace(const KernelArgs& args) {
  const TensorView &x = args.in(0), &table = args.in(1);
  const bool is_gradient = args.outputs.size() > 1;
  const TokenRuns runs = is_gradient ? TokenRuns({&x, &args.in(2), &args.out(1)},
                                                 {&args.in(3), &args.in(4), &args.in(5)})
                                     : TokenRuns({&x, &args.in(2)}, {&args.out(0)});
  const HeadProducts products(x, table, runs.stride(0));
  std::int64_t scratch = 0;
  const auto need = [&](const MatrixProduct& p) { scratch = std::max(scratch, p.scratch_bytes()); };
  // All shapes are among the blocks at the corners.
  const auto count = [](std::int64_t n, std::int64_t block) {
    return std::min(n, 2 * block + n % block);
  };
  for_each_head_block(count(runs.length(), kHeadTokens), count(table.extents[0], kHeadWords),
                      [&](const HeadBlock& b) {
                        need(products.scores(b));
                        if (!is_gradient) return;
                        need(products.by_token(b, runs.stride(2)));
                        need(products.by_word(b, args.out(0).strides[0], false));
                        need(products.by_word(b, args.out(0).strides[0], true));
                      });
  const std::int64_t blocks =
      x.dtype == DType::bf16 ? HeadWorkspace<bfloat16>::kBytes : HeadWorkspace<float>::kBytes;
  return static_cast<std::size_t>(blocks + scratch);
}

}  // namespace hpdlf::codelets
