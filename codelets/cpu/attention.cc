// Attention on the CPU: blocks of scores by oneDNN, their softmax in registers, key after key block with a running maximum.
// Formulas: graph/ops/attention.cc.
//
// A block of scores is 128 queries x 512 keys, 264 KiB: it stays in L2 between its product, its softmax and the next product. Blocks
// above the diagonal are never computed; the one on it is cut off at the last key that a query of it sees.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/attention.cc"
#include <algorithm>
#include <cmath>
#include <limits>

#include "codelets/cpu/attention_blocks.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/math-inl.hpp"
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// What is known of the queries of a block so far.
struct Running {
  float* most;  ///< largest scaled score
  float* sum;   ///< of exp(scaled score - most)
  float* out;   ///< sum of exp(scaled score - most) * value, dense
};

/// scores -> exp(scale * score - most), 0 for keys that a query does not see; rescales what was summed with another maximum.
void softmax_block(const ScoreBlock& b, float scale, std::int64_t features, float* scores,
                   const Running& running) {
  for (std::int64_t r = 0; r < b.queries; ++r) {
    float* row = scores + r * kScoreStride;
    const std::int64_t n = b.seen_keys(r);
    constexpr float kLeast = -std::numeric_limits<float>::infinity();
    auto largest = hn::Set(F32(), kLeast);
    for_each_vector(n, [&](auto access, std::int64_t j) HWY_ATTR {
      largest = hn::Max(largest, access.only(access.load(row + j), kLeast));
    });
    const float before = b.is_first() ? kLeast : running.most[r];
    const float most = std::max(before, scale * hn::GetLane(hn::MaxOfLanes(F32(), largest)));
    const auto a = hn::Set(F32(), scale), m = hn::Set(F32(), most);
    auto sum = hn::Zero(F32());
    for_each_vector(n, [&](auto access, std::int64_t j) HWY_ATTR {
      const auto p = exp(hn::MulSub(a, access.load(row + j), m));
      sum = hn::Add(sum, access.only(p));
      access.store(p, row + j);
    });
    std::fill(row + n, row + b.keys, 0.0F);
    const float total = hn::GetLane(hn::SumOfLanes(F32(), sum));
    const float correction = b.is_first() ? 0.0F : std::exp(before - most);
    running.sum[r] = b.is_first() ? total : running.sum[r] * correction + total;
    running.most[r] = most;
    if (b.is_first() || correction == 1.0F) continue;
    const auto c = hn::Set(F32(), correction);
    float* out = running.out + r * features;
    for_each_vector(features, [=](auto access, std::int64_t j) HWY_ATTR {
      access.store(hn::Mul(access.load(out + j), c), out + j);
    });
  }
}

void SelfAttention(const KernelArgs& args) {
  const AttentionHeads heads(args, args.in(0));
  const AttentionWorkspace w(args, heads);
  const TensorView &out = args.out(0), &lse = args.out(1);
  const std::int64_t features = heads.features();
  const Running running{w.most, w.sum, w.out};
  heads.for_each([&](std::int64_t n, std::int64_t h) {
    const HeadPointers head = heads.at(args.in(0), n, h);
    heads.for_each_block([&](const ScoreBlock& b) {
      const float* queries = head.query + b.first_query * head.row;
      heads.scores(b)(queries, head.key + b.first_key * head.row, w.scores, w.scratch);
      softmax_block(b, heads.scale(), features, w.scores, running);
      heads.weighted_values(b)(w.scores, head.value + b.first_key * head.row, w.out, w.scratch);
      if (!b.is_last()) return;
      for (std::int64_t r = 0; r < b.queries; ++r) {
        const std::int64_t t = b.first_query + r;
        float* to = element(out, {n, t, h, 0});
        const float* from = w.out + r * features;
        const auto inverse = number(1.0 / static_cast<double>(w.sum[r]));
        for_each_vector(features, [=](auto access, std::int64_t j) HWY_ATTR {
          access.store(hn::Mul(access.load(from + j), inverse), to + j);
        });
        *element(lse, {n, t, h}) = w.most[r] + std::log(w.sum[r]);
      }
    });
  });
}

/// scores -> p, dp -> scale * p * (dp + correction), both 0 for keys that a query does not see.
void softmax_gradient_block(const ScoreBlock& b, float scale, float* scores, float* dp,
                            const float* lse, const float* correction) {
  const auto a = hn::Set(F32(), scale);
  for (std::int64_t r = 0; r < b.queries; ++r) {
    float *s = scores + r * kScoreStride, *d = dp + r * kScoreStride;
    const auto l = hn::Set(F32(), lse[r]), c = hn::Set(F32(), correction[r]);
    const std::int64_t n = b.seen_keys(r);
    for_each_vector(n, [=](auto access, std::int64_t j) HWY_ATTR {
      const auto p = exp(hn::MulSub(a, access.load(s + j), l));
      access.store(p, s + j);
      access.store(hn::Mul(hn::Mul(a, p), hn::Add(access.load(d + j), c)), d + j);
    });
    std::fill(s + n, s + b.keys, 0.0F);
    std::fill(d + n, d + b.keys, 0.0F);
  }
}

/// lse and dlse - dout * out of the queries of a block.
void load_queries(const KernelArgs& args, const ScoreBlock& b, std::int64_t n, std::int64_t h,
                  const AttentionWorkspace& w) {
  const TensorView &out = args.in(1), &dout = args.in(3);
  for (std::int64_t r = 0; r < b.queries; ++r) {
    const std::int64_t t = b.first_query + r;
    const float *y = element(out, {n, t, h, 0}), *dy = element(dout, {n, t, h, 0});
    auto dot = hn::Zero(F32());
    for_each_vector(out.extents[3], [&](auto access, std::int64_t j) HWY_ATTR {
      dot = hn::MulAdd(access.load(y + j), access.load(dy + j), dot);
    });
    const float dlse = args.inputs.size() > 4 ? *element(args.in(4), {n, t, h}) : 0.0F;
    w.most[r] = *element(args.in(2), {n, t, h});
    w.sum[r] = dlse - hn::GetLane(hn::SumOfLanes(F32(), dot));
  }
}

void SelfAttentionGrad(const KernelArgs& args) {
  const AttentionHeads heads(args, args.in(0));
  const AttentionWorkspace w(args, heads);
  const TensorView& dqkv = args.out(0);
  const std::int64_t dout_row = args.in(3).strides[1], drow = dqkv.strides[1];
  fill_zero(dqkv);
  heads.for_each([&](std::int64_t n, std::int64_t h) {
    const HeadPointers head = heads.at(args.in(0), n, h), d = heads.at(dqkv, n, h);
    heads.for_each_block([&](const ScoreBlock& b) {
      const float* dout = element(args.in(3), {n, b.first_query, h, 0});
      const std::int64_t query = b.first_query * head.row, key = b.first_key * head.row;
      const std::int64_t dquery = b.first_query * drow, dkey = b.first_key * drow;
      if (b.is_first()) load_queries(args, b, n, h, w);
      heads.scores(b)(head.query + query, head.key + key, w.scores, w.scratch);
      heads.value_products(b, dout_row)(dout, head.value + key, w.dp, w.scratch);
      softmax_gradient_block(b, heads.scale(), w.scores, w.dp, w.most, w.sum);
      heads.add_by_key(b, dout_row, drow)(w.scores, dout, d.value + dkey, w.scratch);
      heads.add_by_key(b, head.row, drow)(w.dp, head.query + query, d.key + dkey, w.scratch);
      heads.add_by_query(b, drow)(w.dp, head.key + key, d.query + dquery, w.scratch);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {

HWY_EXPORT(SelfAttention);
HWY_EXPORT(SelfAttentionGrad);

void register_attention_cpu(KernelRegistry& registry) {
  registry.add({.op = "SelfAttention",
                .variant = "blocks",
                .run = HPDLF_SIMD_KERNEL(SelfAttention),
                .workspace = attention_workspace});
  registry.add({.op = "SelfAttentionGrad",
                .variant = "blocks",
                .run = HPDLF_SIMD_KERNEL(SelfAttentionGrad),
                .workspace = attention_workspace});
}

}  // namespace hpdlf::codelets
#endif
