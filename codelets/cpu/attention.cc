// Attention on the CPU: blocks of scores by oneDNN, their softmax in registers, key after key block with a running maximum. In f32, on a
// processor with AMX, by codelets/cpu/split_attention.cc.
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
#include "codelets/cpu/split_attention.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/attention-inl.hpp"
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

/// p = exp(scale * score - most), 0 for keys that a query does not see; rescales what was summed with another maximum.
template <class T>
void softmax_block(const ScoreBlock& b, float scale, std::int64_t features, const float* scores,
                   T* p, const Running& running) {
  for (std::int64_t r = 0; r < b.queries; ++r) {
    const float* row = scores + r * kScoreStride;
    T* to = p + r * kScoreStride;
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
      const auto value = exp(hn::MulSub(a, access.load(row + j), m));
      sum = hn::Add(sum, access.only(value));
      access.store(value, to + j);
    });
    std::fill(to + n, to + b.keys, T(0.0F));
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

template <class T>
void attend(const KernelArgs& args) {
  const AttentionHeads heads(args, args.in(0));
  const AttentionWorkspace<T> w(args, heads);
  const TensorView &out = args.out(0), &lse = args.out(1);
  const std::int64_t features = heads.features();
  const Running running{w.most, w.sum, w.out};
  heads.for_each([&](std::int64_t n, std::int64_t h) {
    const HeadPointers<T> head = heads.at<T>(args.in(0), n, h);
    heads.for_each_block([&](const ScoreBlock& b) {
      const T* queries = head.query + b.first_query * head.row;
      heads.scores(b)(queries, head.key + b.first_key * head.row, w.scores, w.scratch);
      softmax_block(b, heads.scale(), features, w.scores, w.p, running);
      heads.weighted_values(b)(w.p, head.value + b.first_key * head.row, w.out, w.scratch);
      if (!b.is_last()) return;
      for (std::int64_t r = 0; r < b.queries; ++r) {
        const std::int64_t t = b.first_query + r;
        T* to = element<T>(out, {n, t, h, 0});
        const float* from = w.out + r * features;
        const auto inverse = number(1.0 / static_cast<double>(w.sum[r]));
        for_each_vector(features, [=](auto access, std::int64_t j) HWY_ATTR {
          access.store(hn::Mul(access.load(from + j), inverse), to + j);
        });
        *element<float>(lse, {n, t, h}) = w.most[r] + std::log(w.sum[r]);
      }
    });
  });
}

/// p from the scores, ds = scale * p * (dp + correction), both 0 for keys that a query does not see; in `most` and `sum` are lse and the
/// correction.
template <class T>
void softmax_gradient_block(const ScoreBlock& b, float scale, const AttentionWorkspace<T>& w) {
  const auto a = hn::Set(F32(), scale);
  for (std::int64_t r = 0; r < b.queries; ++r) {
    const std::int64_t row = r * kScoreStride, n = b.seen_keys(r);
    const float *s = w.scores + row, *dp = w.dp + row;
    T *p = w.p + row, *ds = w.ds + row;
    const auto lse = hn::Set(F32(), w.most[r]), correction = hn::Set(F32(), w.sum[r]);
    for_each_vector(n, [=](auto access, std::int64_t j) HWY_ATTR {
      const auto value = exp(hn::MulSub(a, access.load(s + j), lse));
      access.store(value, p + j);
      access.store(hn::Mul(hn::Mul(a, value), hn::Add(access.load(dp + j), correction)), ds + j);
    });
    std::fill(p + n, p + b.keys, T(0.0F));
    std::fill(ds + n, ds + b.keys, T(0.0F));
  }
}

/// Where the gradient of a head is summed, from 0: in f32.
template <class T>
HeadPointers<float> gradient_of(const TensorView& dqkv, std::int64_t n, std::int64_t h,
                                const AttentionHeads& heads, const AttentionWorkspace<T>& w) {
  if constexpr (sizeof(T) == sizeof(float)) return heads.at<float>(dqkv, n, h);
  const std::int64_t features = heads.features();
  std::fill_n(w.dqkv, heads.tokens() * 3 * features, 0.0F);
  return {w.dqkv, w.dqkv + features, w.dqkv + 2 * features, 3 * features};
}

/// The sums of a head to dqkv, where they are not in it.
template <class T>
void store_gradient(const TensorView& dqkv, std::int64_t n, std::int64_t h,
                    const HeadPointers<float>& sums) {
  if constexpr (sizeof(T) == sizeof(float)) return;
  for (std::int64_t t = 0; t < dqkv.extents[1]; ++t)
    for (std::int64_t part = 0; part < dqkv.extents[3]; ++part) {
      const std::int64_t features = dqkv.extents[4];
      const float* from = sums.query + t * sums.row + part * features;
      T* to = element<T>(dqkv, {n, t, h, part});
      for_each_vector(features, [=](auto access, std::int64_t j)
                                    HWY_ATTR { access.store(access.load(from + j), to + j); });
    }
}

template <class T>
void attend_grad(const KernelArgs& args) {
  const AttentionHeads heads(args, args.in(0));
  const AttentionWorkspace<T> w(args, heads);
  const TensorView& dqkv = args.out(0);
  const std::int64_t dout_row = args.in(3).strides[1], drow = heads.gradient_row(dqkv);
  if (dqkv.dtype == DType::f32) fill_zero(dqkv);
  heads.for_each([&](std::int64_t n, std::int64_t h) {
    const HeadPointers<T> head = heads.at<T>(args.in(0), n, h);
    const HeadPointers<float> d = gradient_of(dqkv, n, h, heads, w);
    heads.for_each_block([&](const ScoreBlock& b) {
      const T* dout = element<T>(args.in(3), {n, b.first_query, h, 0});
      const std::int64_t query = b.first_query * head.row, key = b.first_key * head.row;
      const std::int64_t dquery = b.first_query * drow, dkey = b.first_key * drow;
      if (b.is_first()) load_queries<T>(args, n, h, b.first_query, b.queries, w.most, w.sum);
      heads.scores(b)(head.query + query, head.key + key, w.scores, w.scratch);
      heads.value_products(b, dout_row)(dout, head.value + key, w.dp, w.scratch);
      softmax_gradient_block(b, heads.scale(), w);
      heads.add_by_key(b, dout_row, drow)(w.p, dout, d.value + dkey, w.scratch);
      heads.add_by_key(b, head.row, drow)(w.ds, head.query + query, d.key + dkey, w.scratch);
      heads.add_by_query(b, drow)(w.ds, head.key + key, d.query + dquery, w.scratch);
    });
    store_gradient<T>(dqkv, n, h, d);
  });
}

void SelfAttention(const KernelArgs& args) {
  with_storage(args.in(0).dtype, [&](auto type) { attend<decltype(type)>(args); });
}
void SelfAttentionGrad(const KernelArgs& args) {
  with_storage(args.in(0).dtype, [&](auto type) { attend_grad<decltype(type)>(args); });
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
                .variant = "tiles",
                .run = split_attention,
                .supports = is_for_split_attention,
                .workspace = split_attention_workspace});
  registry.add({.op = "SelfAttentionGrad",
                .variant = "tiles",
                .run = split_attention_grad,
                .supports = is_for_split_attention,
                .workspace = split_attention_workspace});
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
