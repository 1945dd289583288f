// The head of a language model on the CPU: blocks of scores by oneDNN, turned into exponentials while they are in cache. Formulas:
// graph/ops/lm_head.cc.
//
// A block is 512 words x 512 tokens, 1 MiB. Smaller ones fit L2 better, but their products pack the factors more often, which costs more (256
// tokens: 73 instead of 77 GFLOP/s of 100 on an AMD EPYC with an L2 of 512 KiB). Words are the outer loop: the table is read once, and so is
// its gradient written. The gradient multiplies the exponentials as they are, with rows of x that have been multiplied by ds.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/lm_head.cc"
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "codelets/cpu/lm_head_blocks.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/math-inl.hpp"
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// At most `limit`; NaN stays NaN.
HWY_INLINE VF32 at_most(VF32 v, VF32 limit) { return hn::IfThenElse(hn::Gt(v, limit), limit, v); }

template <class T>
float dot(const T* a, const T* b, std::int64_t n) {
  auto sum = hn::Zero(F32());
  for_each_vector(n, [&](auto access, std::int64_t i) HWY_ATTR {
    sum = hn::MulAdd(access.load(a + i), access.load(b + i), sum);
  });
  return hn::GetLane(hn::SumOfLanes(F32(), sum));
}

/// The target's row in a tile of the table, if it is there. `offset` is the token's among the targets.
std::optional<std::int64_t> target_row(const TensorView& targets, std::int64_t offset,
                                       const TensorView& table) {
  const std::int64_t row = label_at(targets, offset) - table.origin[0];
  return row >= 0 && row < table.extents[0] ? std::optional(row) : std::nullopt;
}

/// What the sum needs of a token.
struct Token {
  float shift;                         ///< score of the target
  std::optional<std::int64_t> target;  ///< its row in the tile
  double sum;                          ///< of the exponentials so far
};

/// e = exp(score - shift), 0 at the target; adds them up. A block of 512 terms cannot overflow f32.
template <class T>
void exponentials(float* scores, const HeadBlock& b, Token* tokens, T* e, std::int64_t e_row) {
  constexpr double kHighest = 60;
  for (std::int64_t r = 0; r < b.tokens; ++r) {
    float* row = scores + r * kHeadStride;
    T* erow = e + r * e_row;
    Token& token = tokens[r];
    if (token.target && *token.target >= b.first_word && *token.target < b.first_word + b.words)
      row[*token.target - b.first_word] = -std::numeric_limits<float>::infinity();
    const auto from = hn::Set(F32(), token.shift);
    auto sum = hn::Zero(F32());
    for_each_vector(b.words, [&](auto access, std::int64_t j) HWY_ATTR {
      const auto above = at_most(hn::Sub(access.load(row + j), from), number(kHighest));
      const auto term = exp(above);
      access.store(term, erow + j);
      sum = hn::Add(sum, access.only(term));
    });
    token.sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(F32(), sum)));
  }
}

template <class T>
void head_sums(const KernelArgs& args) {
  const TensorView &x = args.in(0), &table = args.in(1), &rows = args.in(2), &targets = args.in(3);
  const TensorView &s = args.out(0), &e = args.out(1);
  const TokenRuns runs = head_sums_runs(args);
  const HeadProducts products(x, table);
  const HeadSumsLayout layout;
  auto* scores = reinterpret_cast<float*>(args.workspace.data() + layout.scores);
  std::byte* scratch = args.workspace.data() + layout.scratch;
  std::vector<Token> tokens(static_cast<std::size_t>(runs.length()));
  runs.for_each([&](const std::int64_t* at) {
    for (std::int64_t r = 0; r < runs.length(); ++r) {
      const auto offset = [&](int view) { return at[view] + r * runs.stride(view); };
      const auto target = target_row(targets, offset(3), table);
      tokens[static_cast<std::size_t>(r)] = {
          .shift = dot(x.as<T>() + offset(0), rows.as<T>() + offset(1), x.extents.back()),
          .target = target,
          .sum = target ? 1.0 : 0.0};
    }
    for_each_head_block(runs.length(), table.extents[0], kHeadWords, [&](const HeadBlock& b) {
      products.scores(b, runs.stride(0))(x.as<T>() + at[0] + b.first_token * runs.stride(0),
                                         table.as<T>() + b.first_word * table.strides[0], scores,
                                         scratch);
      exponentials(scores, b, tokens.data() + b.first_token,
                   e.as<T>() + at[2] + b.first_token * runs.stride(2) + b.first_word,
                   runs.stride(2));
    });
    for (std::int64_t r = 0; r < runs.length(); ++r)
      s.as<double>()[at[4] + r * runs.stride(4)] = tokens[static_cast<std::size_t>(r)].sum;
  });
}

/// y = a x
template <class T>
void multiply(float a, const T* x, T* y, std::int64_t n) {
  const auto factor = hn::Set(F32(), a);
  for_each_vector(n, [=](auto access, std::int64_t i)
                         HWY_ATTR { access.store(hn::Mul(factor, access.load(x + i)), y + i); });
}

/// y += a x
template <class T>
void add_multiple(float a, const T* x, float* y, std::int64_t n) {
  const auto factor = hn::Set(F32(), a);
  for_each_vector(n, [=](auto access, std::int64_t i) HWY_ATTR {
    access.store(hn::MulAdd(factor, access.load(x + i), access.load(y + i)), y + i);
  });
}

/// Of the tokens of a run that starts at `at`: dx becomes ds dx, and the terms of the targets are added.
template <class T>
void finish_gradients(const KernelArgs& args, const TokenRuns& runs, const std::int64_t* at) {
  const TensorView &x = args.in(0), &table = args.in(1), &dtable = args.out(0), &dx = args.out(1);
  const std::int64_t channels = x.extents.back();
  for (std::int64_t r = 0; r < runs.length(); ++r) {
    const auto offset = [&](int view) { return at[view] + r * runs.stride(view); };
    const double s = args.in(3).as<double>()[offset(4)], ds = args.in(4).as<double>()[offset(5)];
    float* dxrow = dx.as<float>() + offset(2);
    multiply(static_cast<float>(ds), dxrow, dxrow, channels);
    if (const auto target = target_row(args.in(2), offset(3), table)) {
      const auto by_score = static_cast<float>(-ds * (s - 1));
      add_multiple(by_score, table.as<T>() + *target * table.strides[0], dxrow, channels);
      add_multiple(by_score, x.as<T>() + offset(0),
                   dtable.as<float>() + *target * dtable.strides[0], channels);
    }
  }
}

template <class T>
void head_sums_grad(const KernelArgs& args) {
  const TensorView &x = args.in(0), &table = args.in(1), &ds = args.in(4), &e = args.in(5);
  const TensorView &dtable = args.out(0), &dx = args.out(1);
  const TokenRuns runs = head_grad_runs(args);
  const HeadProducts products(x, table);
  const HeadGradLayout layout(x, runs.length());
  auto* dsx = reinterpret_cast<T*>(args.workspace.data() + layout.dsx);
  std::byte* scratch = args.workspace.data() + layout.scratch;
  const std::int64_t channels = x.extents.back();
  bool sum_table = args.accumulate;
  runs.for_each([&](const std::int64_t* at) {
    for (std::int64_t r = 0; r < runs.length(); ++r)
      multiply(static_cast<float>(ds.as<double>()[at[5] + r * runs.stride(5)]),
               x.as<T>() + at[0] + r * runs.stride(0), dsx + r * channels, channels);
    for_each_head_block(runs.length(), table.extents[0], kHeadGradWords, [&](const HeadBlock& b) {
      const T* es = e.as<T>() + at[1] + b.first_token * runs.stride(1) + b.first_word;
      products.by_token(b, runs.stride(1), runs.stride(2))(
          es, table.as<T>() + b.first_word * table.strides[0],
          dx.as<float>() + at[2] + b.first_token * runs.stride(2), scratch);
      products.by_word(b, runs.stride(1), dtable.strides[0], sum_table || b.first_token > 0)(
          es, dsx + b.first_token * channels, dtable.as<float>() + b.first_word * dtable.strides[0],
          scratch);
    });
    finish_gradients<T>(args, runs, at);
    sum_table = true;
  });
}

void LmHeadSums(const KernelArgs& args) {
  with_storage(args.in(0).dtype, [&](auto type) { head_sums<decltype(type)>(args); });
}
void LmHeadSumsGrad(const KernelArgs& args) {
  with_storage(args.in(0).dtype, [&](auto type) { head_sums_grad<decltype(type)>(args); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
namespace {

HWY_EXPORT(LmHeadSums);
HWY_EXPORT(LmHeadSumsGrad);

// The rest touches a number a token.

double tokens_of(const KernelArgs& args) {
  return static_cast<double>(args.attrs->integer("tokens"));
}

void lm_head_loss(const KernelArgs& args) {
  const TensorView& s = args.in(0);
  const Rows rows({&s});
  double loss = 0;
  rows.for_each([&](const std::int64_t* at) {
    for (std::int64_t i = 0; i < rows.length(); ++i)
      loss += std::log(s.as<double>()[at[0] + i * rows.stride(0)]);
  });
  *args.out(0).as<float>() = static_cast<float>(loss / tokens_of(args));
}

void lm_head_loss_grad(const KernelArgs& args) {
  const TensorView &s = args.in(0), &ds = args.out(0);
  const double each = static_cast<double>(*args.in(1).as<float>()) / tokens_of(args);
  const Rows rows({&s, &ds});
  rows.for_each([&](const std::int64_t* at) {
    for (std::int64_t i = 0; i < rows.length(); ++i)
      ds.as<double>()[at[1] + i * rows.stride(1)] =
          each / s.as<double>()[at[0] + i * rows.stride(0)];
  });
}

}  // namespace

void register_lm_head_cpu(KernelRegistry& registry) {
  registry.add({.op = "LmHeadSums",
                .variant = "blocks",
                .run = HPDLF_SIMD_KERNEL(LmHeadSums),
                .workspace = head_sums_workspace});
  registry.add({.op = "LmHeadSumsGrad",
                .variant = "blocks",
                .run = HPDLF_SIMD_KERNEL(LmHeadSumsGrad),
                .workspace = head_grad_workspace});
  registry.add({.op = "LmHeadLoss", .variant = "plain", .run = lm_head_loss});
  registry.add({.op = "LmHeadLossGrad", .variant = "plain", .run = lm_head_loss_grad});
}

}  // namespace hpdlf::codelets
#endif
