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

inline constexpr std::int64_t kHeadTokens = 512, kHeadWords = 512, kHeadGradWords = 2048;
/// Between the rows of a block of scores: not a power of two, whose rows would share few cache sets.
inline constexpr std::int64_t kHeadStride = kHeadWords + 16;

/// Tokens [first_token, + tokens) of a run and words [first_word, + words) of a tile.
struct HeadBlock {
  std::int64_t first_token, tokens, first_word, words;
};

/// body(block), words in the outer loop, at most `step` of them a block.
template <class Body>
void for_each_head_block(std::int64_t tokens, std::int64_t words, std::int64_t step,
                         const Body& body) {
  for (std::int64_t w = 0; w < words; w += step)
    for (std::int64_t t = 0; t < tokens; t += kHeadTokens)
      body(HeadBlock{t, std::min(kHeadTokens, tokens - t), w, std::min(step, words - w)});
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

/// The products of a block. Strides are those between the rows of a matrix.
class HeadProducts {
 public:
  /// @param x of the tokens @param table its words
  HeadProducts(const TensorView& x, const TensorView& table)
      : channels_(x.extents.back()), table_row_(table.strides[0]), dtype_(x.dtype) {}

  /// scores = x table'
  [[nodiscard]] MatrixProduct scores(const HeadBlock& b, std::int64_t x_row) const {
    return MatrixProduct({.m = b.tokens,
                          .n = b.words,
                          .k = channels_,
                          .a = {x_row, 1},
                          .b = {1, table_row_},
                          .y_row = kHeadStride,
                          .factors = dtype_});
  }
  /// dx (+)= e table, the first words write
  [[nodiscard]] MatrixProduct by_token(const HeadBlock& b, std::int64_t e_row,
                                       std::int64_t dx_row) const {
    return MatrixProduct({.m = b.tokens,
                          .n = channels_,
                          .k = b.words,
                          .a = {e_row, 1},
                          .b = {table_row_, 1},
                          .y_row = dx_row,
                          .sum = b.first_word > 0,
                          .factors = dtype_});
  }
  /// dtable (+)= e' x, rows of x dense
  [[nodiscard]] MatrixProduct by_word(const HeadBlock& b, std::int64_t e_row,
                                      std::int64_t dtable_row, bool sum) const {
    return MatrixProduct({.m = b.words,
                          .n = channels_,
                          .k = b.tokens,
                          .a = {1, e_row},
                          .b = {channels_, 1},
                          .y_row = dtable_row,
                          .sum = sum,
                          .factors = dtype_});
  }

 private:
  std::int64_t channels_, table_row_;
  DType dtype_;
};

/// All shapes of blocks are among those at the corners: body(block) for these.
template <class Body>
void for_each_head_shape(std::int64_t tokens, std::int64_t words, std::int64_t step,
                         const Body& body) {
  const auto few = [](std::int64_t n, std::int64_t block) {
    return std::min(n, 2 * block + n % block);
  };
  for_each_head_block(few(tokens, kHeadTokens), few(words, step), step, body);
}

/// What LmHeadSums works in.
struct HeadSumsLayout {
  WorkspaceLayout layout;
  std::int64_t scores, scratch;
  HeadSumsLayout()
      : scores(layout.add(kHeadTokens * kHeadStride * static_cast<std::int64_t>(sizeof(float)))),
        scratch(layout.add(0)) {}
};
[[nodiscard]] inline TokenRuns head_sums_runs(const KernelArgs& args) {
  return {{&args.in(0), &args.in(2), &args.out(1)}, {&args.in(3), &args.out(0)}};
}
[[nodiscard]] inline std::size_t head_sums_workspace(const KernelArgs& args) {
  const TensorView &x = args.in(0), &table = args.in(1);
  const TokenRuns runs = head_sums_runs(args);
  const HeadProducts products(x, table);
  std::int64_t scratch = 0;
  for_each_head_shape(runs.length(), table.extents[0], kHeadWords, [&](const HeadBlock& b) {
    scratch = std::max(scratch, products.scores(b, runs.stride(0)).scratch_bytes());
  });
  return static_cast<std::size_t>(HeadSumsLayout().scratch + scratch);
}

/// What LmHeadSumsGrad works in: ds x of a run of tokens.
struct HeadGradLayout {
  WorkspaceLayout layout;
  std::int64_t dsx, scratch;
  HeadGradLayout(const TensorView& x, std::int64_t tokens)
      : dsx(layout.add(tokens * x.extents.back() * static_cast<std::int64_t>(size_of(x.dtype)))),
        scratch(layout.add(0)) {}
};
[[nodiscard]] inline TokenRuns head_grad_runs(const KernelArgs& args) {
  return {{&args.in(0), &args.in(5), &args.out(1)}, {&args.in(2), &args.in(3), &args.in(4)}};
}
[[nodiscard]] inline std::size_t head_grad_workspace(const KernelArgs& args) {
  const TensorView &x = args.in(0), &table = args.in(1);
  const TokenRuns runs = head_grad_runs(args);
  const HeadProducts products(x, table);
  std::int64_t scratch = 0;
  const auto need = [&](const MatrixProduct& p) { scratch = std::max(scratch, p.scratch_bytes()); };
  for_each_head_shape(runs.length(), table.extents[0], kHeadGradWords, [&](const HeadBlock& b) {
    need(products.by_token(b, runs.stride(1), runs.stride(2)));
    need(products.by_word(b, runs.stride(1), args.out(0).strides[0], false));
    need(products.by_word(b, runs.stride(1), args.out(0).strides[0], true));
  });
  return static_cast<std::size_t>(HeadGradLayout(x, runs.length()).scratch + scratch);
}

}  // namespace hpdlf::codelets
