// The head of a language model on the CPU: blocks of scores by oneDNN, used up while they are in cache. Formulas: graph/ops/lm_head.cc.
//
// A block is 512 words x 512 tokens, 1 MiB. Smaller ones fit L2 better, but their products pack the factors more often, which costs more (256
// tokens: 73 instead of 77 GFLOP/s of 100 on an AMD EPYC with an L2 of 512 KiB). Words are the outer loop: the table is read once, and so is
// its gradient written.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/lm_head.cc"
#include <cmath>
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

/// sums[r] += sum over words of exp(score - shift[r]); a block of 512 terms cannot overflow f32.
void add_exponentials(const float* scores, const HeadBlock& b, const float* shift, double* sums) {
  constexpr double kHighest = 80;
  for (std::int64_t r = 0; r < b.tokens; ++r) {
    const float* row = scores + r * kHeadStride;
    const auto from = hn::Set(F32(), shift[r]);
    auto sum = hn::Zero(F32());
    for_each_vector(b.words, [&](auto access, std::int64_t j) HWY_ATTR {
      const auto above = at_most(hn::Sub(access.load(row + j), from), number(kHighest));
      sum = hn::Add(sum, access.only(exp(above)));
    });
    sums[r] += static_cast<double>(hn::GetLane(hn::SumOfLanes(F32(), sum)));
  }
}

template <class T>
void head_sums(const KernelArgs& args) {
  const TensorView &x = args.in(0), &table = args.in(1), &rows = args.in(2), &s = args.out(0);
  const TokenRuns runs({&x, &rows}, {&s});
  const HeadProducts products(x, table, runs.stride(0));
  const HeadWorkspace<T> w(args);
  const auto tokens = static_cast<std::size_t>(runs.length());
  std::vector<float> shift(tokens);
  std::vector<double> sums(tokens);
  runs.for_each([&](const std::int64_t* at) {
    const T* xs = x.as<T>() + at[0];
    for (std::size_t r = 0; r < tokens; ++r) {
      const auto i = static_cast<std::int64_t>(r);
      shift[r] =
          dot(xs + i * runs.stride(0), rows.as<T>() + at[1] + i * runs.stride(1), x.extents.back());
      sums[r] = 0;
    }
    for_each_head_block(runs.length(), table.extents[0], [&](const HeadBlock& b) {
      products.scores(b)(xs + b.first_token * runs.stride(0),
                         table.as<T>() + b.first_word * table.strides[0], w.scores, w.scratch);
      add_exponentials(w.scores, b, shift.data() + b.first_token, sums.data() + b.first_token);
    });
    for (std::size_t r = 0; r < tokens; ++r)
      s.as<double>()[at[2] + static_cast<std::int64_t>(r) * runs.stride(2)] = sums[r];
  });
}

/// What the gradient needs of a token.
struct Token {
  float lse;     ///< log of the sum of exp(score)
  float weight;  ///< of the token's loss
  std::int64_t target;
};

/// weight * (softmax - one at the target).
template <class T>
void gradient_by_scores(const float* scores, const HeadBlock& b, const Token* tokens, T* dscores) {
  for (std::int64_t r = 0; r < b.tokens; ++r) {
    const float* row = scores + r * kHeadStride;
    T* drow = dscores + r * kHeadStride;
    const Token& token = tokens[r];
    const auto lse = hn::Set(F32(), token.lse), weight = hn::Set(F32(), token.weight);
    for_each_vector(b.words, [=](auto access, std::int64_t j) HWY_ATTR {
      const auto log_p = at_most(hn::Sub(access.load(row + j), lse), hn::Zero(F32()));
      access.store(hn::Mul(weight, exp(log_p)), drow + j);
    });
    const std::int64_t at = token.target - b.first_word;
    if (at >= 0 && at < b.words) drow[at] = T(static_cast<float>(drow[at]) - token.weight);
  }
}

/// The tokens of a run that starts at `at`; views x, target_rows, dx, targets, s, ds.
template <class T>
std::vector<Token> tokens_of(const KernelArgs& args, const TokenRuns& runs,
                             const std::int64_t* at) {
  const TensorView &x = args.in(0), &rows = args.in(2), &targets = args.in(3);
  std::vector<Token> tokens;
  for (std::int64_t r = 0; r < runs.length(); ++r) {
    const auto offset = [&](int view) { return at[view] + r * runs.stride(view); };
    const float shift = dot(x.as<T>() + offset(0), rows.as<T>() + offset(1), x.extents.back());
    const double s = args.in(4).as<double>()[offset(4)], ds = args.in(5).as<double>()[offset(5)];
    tokens.push_back({.lse = static_cast<float>(static_cast<double>(shift) + std::log(s)),
                      .weight = static_cast<float>(ds * s),
                      .target = label_at(targets, offset(3)) - args.in(1).origin[0]});
  }
  return tokens;
}

template <class T>
void head_sums_grad(const KernelArgs& args) {
  const TensorView &x = args.in(0), &table = args.in(1), &dtable = args.out(0), &dx = args.out(1);
  const TokenRuns runs({&x, &args.in(2), &dx}, {&args.in(3), &args.in(4), &args.in(5)});
  const HeadProducts products(x, table, runs.stride(0));
  const HeadWorkspace<T> w(args);
  bool sum_table = args.accumulate;
  runs.for_each([&](const std::int64_t* at) {
    const std::vector<Token> tokens = tokens_of<T>(args, runs, at);
    for_each_head_block(runs.length(), table.extents[0], [&](const HeadBlock& b) {
      const T* xs = x.as<T>() + at[0] + b.first_token * runs.stride(0);
      const T* words = table.as<T>() + b.first_word * table.strides[0];
      float* dwords = dtable.as<float>() + b.first_word * dtable.strides[0];
      float* dxs = dx.as<float>() + at[2] + b.first_token * runs.stride(2);
      products.scores(b)(xs, words, w.scores, w.scratch);
      gradient_by_scores(w.scores, b, tokens.data() + b.first_token, w.dscores);
      products.by_token(b, runs.stride(2))(w.dscores, words, dxs, w.scratch);
      products.by_word(b, dtable.strides[0], sum_table || b.first_token > 0)(w.dscores, xs, dwords,
                                                                             w.scratch);
    });
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

void lm_head_loss_sums(const KernelArgs& args) {
  const TensorView &s = args.in(0), &sums = args.out(0);
  const Rows rows({&s});
  double loss = 0;
  rows.for_each([&](const std::int64_t* at) {
    for (std::int64_t i = 0; i < rows.length(); ++i)
      loss += std::log(s.as<double>()[at[0] + i * rows.stride(0)]);
  });
  sums.as<double>()[0] = loss;
  sums.as<double>()[sums.strides[0]] = static_cast<double>(s.elements());
}

void lm_head_loss_sums_grad(const KernelArgs& args) {
  const TensorView &s = args.in(0), &ds = args.out(0);
  const double outer = args.in(1).as<double>()[0];
  const Rows rows({&s, &ds});
  rows.for_each([&](const std::int64_t* at) {
    for (std::int64_t i = 0; i < rows.length(); ++i)
      ds.as<double>()[at[1] + i * rows.stride(1)] =
          outer / s.as<double>()[at[0] + i * rows.stride(0)];
  });
}

}  // namespace

void register_lm_head_cpu(KernelRegistry& registry) {
  registry.add({.op = "LmHeadSums",
                .variant = "blocks",
                .run = HPDLF_SIMD_KERNEL(LmHeadSums),
                .workspace = lm_head_workspace});
  registry.add({.op = "LmHeadSumsGrad",
                .variant = "blocks",
                .run = HPDLF_SIMD_KERNEL(LmHeadSumsGrad),
                .workspace = lm_head_workspace});
  registry.add({.op = "LmHeadLossSums", .variant = "plain", .run = lm_head_loss_sums});
  registry.add({.op = "LmHeadLossSumsGrad", .variant = "plain", .run = lm_head_loss_sums_grad});
}

}  // namespace hpdlf::codelets
#endif
