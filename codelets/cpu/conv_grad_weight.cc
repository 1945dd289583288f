// Gradient of a convolution by its weight, hand-written: oneDNN reaches 30-60 % of the peak without AVX-512, and only on dense views.
//
//   dw[k, tap, c] = sum over positions o of dy[o, k] x[o * stride - pad + tap * dilation, c]
//
// For a few k and one or two vectors of c the sums of one tap are kept in registers while a strip of a row (or several short rows) is
// walked: one broadcast of dy and one or two loads of x serve up to 2 x 6 (AVX2) or 2 x 12 (AVX-512) multiply-adds. The sums of
// all taps and of as many k as stay in cache are collected in a buffer, so a row of x is fetched from memory once a pass and
// used for every tap and k. Sums of strips are formed before they are added to the buffer, which keeps the rounding error of millions of
// terms near that of a few thousand.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/conv_grad_weight.cc"
#include <algorithm>
#include <array>
#include <utility>

#include "codelets/cpu/blocks.hpp"
#include "codelets/cpu/conv_problem.hpp"
#include "codelets/cpu/prefetch.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// Accumulators that fit in registers beside one or two vectors of x and a broadcast.
constexpr int kAccumulators = HWY_TARGET <= HWY_AVX3 ? 24 : 12;

/// Positions that are walked with the sums in registers: `rows` runs of `count`.
struct Strip {
  const float *x, *dy;
  std::int64_t x_step, dy_step, x_row, dy_row, rows, count;
};

/// sums[i][vector j] += sum over the strip of dy[i] * x[j], for i < kRows, j < kVectors.
template <class D, int kRows, int kVectors>
HWY_NOINLINE void add_strip(const Strip& s, float* HWY_RESTRICT sums) {
  const D d;
  using V = hn::Vec<D>;
  constexpr auto kLanes = static_cast<int>(hn::MaxLanes(D()));
  V acc[kRows][kVectors];
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kVectors; ++j) acc[i][j] = hn::Zero(d);
  for (std::int64_t row = 0; row < s.rows; ++row) {
    const float* HWY_RESTRICT x = s.x + row * s.x_row;
    const float* HWY_RESTRICT dy = s.dy + row * s.dy_row;
    for (std::int64_t w = 0; w < s.count; ++w, x += s.x_step, dy += s.dy_step) {
      V xs[kVectors];
      for (int j = 0; j < kVectors; ++j) xs[j] = hn::LoadU(d, x + j * kLanes);
      for (int i = 0; i < kRows; ++i) {
        const V g = hn::Set(d, dy[i]);
        for (int j = 0; j < kVectors; ++j) acc[i][j] = hn::MulAdd(g, xs[j], acc[i][j]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kVectors; ++j) {
      float* p = sums + (i * kVectors + j) * kLanes;
      hn::StoreU(hn::Add(hn::LoadU(d, p), acc[i][j]), d, p);
    }
}

using AddStrip = void (*)(const Strip&, float*);

/// add_strip for 1 .. kAccumulators / kVectors rows.
template <class D, int kVectors, std::size_t... kRows>
constexpr std::array<AddStrip, sizeof...(kRows)> add_strip_table(std::index_sequence<kRows...>) {
  return {add_strip<D, static_cast<int>(kRows) + 1, kVectors>...};
}

/// The k range [lo, hi) of one block of registers, of `blocks` that share K as evenly as possible.
Range block_of(std::int64_t k, std::int64_t blocks, std::int64_t i) {
  return {cut(k, blocks, i), cut(k, blocks, i + 1)};
}

/// Sums for kVectors vectors of c from channel c0 on.
template <class D, int kVectors>
class ChannelPass {
 public:
  ChannelPass(const ConvProblem& p, std::int64_t c0, float* buffer)
      : p_(p), c0_(c0), buffer_(buffer) {
    const std::int64_t most = kAccumulators / kVectors;
    blocks_ = blocks_of(p.k, most);
    block_floats_ = p.taps() * most * kChannels;
    // Longer strips amortise the sums' way through memory; more rows than that only need more cache.
    constexpr std::int64_t kStrip = 192;
    row_group_ = std::clamp<std::int64_t>(kStrip / p.axes[2].narrow, 1, p.axes[1].narrow);
  }

  void run() {
    const std::int64_t most = std::max<std::int64_t>(1, kGradWeightBufferFloats / block_floats_);
    const std::int64_t passes = blocks_of(blocks_, most);
    for (std::int64_t i = 0; i < passes; ++i) {
      const Range blocks{cut(blocks_, passes, i), cut(blocks_, passes, i + 1)};
      std::fill_n(buffer_, blocks.size() * block_floats_, 0.0F);
      sum_positions(blocks);
      for (std::int64_t b = blocks.lo; b < blocks.hi; ++b)
        write(block_of(p_.k, blocks_, b), sums_of(b - blocks.lo));
    }
  }

  static constexpr std::int64_t kChannels = kVectors * static_cast<std::int64_t>(hn::MaxLanes(D()));

 private:
  [[nodiscard]] float* sums_of(std::int64_t block) const { return buffer_ + block * block_floats_; }

  void sum_positions(Range blocks) {
    for (std::int64_t n = 0; n < p_.n; ++n)
      for (std::int64_t d = 0; d < p_.axes[0].narrow; ++d)
        for (std::int64_t h = 0; h < p_.axes[1].narrow; h += row_group_) {
          const Range rows = group_from(h);
          Prefetcher prefetcher;
          if (rows.hi < p_.axes[1].narrow)
            add_rows(prefetcher, n, d, group_from(rows.hi));
          else if (d + 1 < p_.axes[0].narrow)
            add_rows(prefetcher, n, d + 1, group_from(0));
          prefetcher.spread_over(blocks.size() * p_.taps());
          for (std::int64_t b = blocks.lo; b < blocks.hi; ++b)
            sum_rows(n, d, rows, block_of(p_.k, blocks_, b), sums_of(b - blocks.lo), prefetcher);
        }
  }

  [[nodiscard]] Range group_from(std::int64_t h) const {
    return {h, std::min(h + row_group_, p_.axes[1].narrow)};
  }

  /// Adds what a group of rows reads, where that is whole rows of x and each is used for several taps.
  void add_rows(Prefetcher& prefetcher, std::int64_t n, std::int64_t d, Range rows) const {
    if (p_.c != kChannels || p_.taps() == 1) return;
    const Range z = positions_met(p_.axes[0], {d, d + 1}), y = positions_met(p_.axes[1], rows);
    prefetcher.add(rows_to_prefetch(
        p_.wide + n * p_.wide_sample + z.lo * p_.wide_strides[0] + y.lo * p_.wide_strides[1],
        p_.wide_strides, z.size(), y.size(), p_.axes[2].wide));
    prefetcher.add(rows_to_prefetch(p_.narrow + n * p_.narrow_sample + d * p_.narrow_strides[0] +
                                        rows.lo * p_.narrow_strides[1],
                                    p_.narrow_strides, 1, rows.size(), p_.axes[2].narrow));
  }

  /// All taps of a group of rows.
  void sum_rows(std::int64_t n, std::int64_t d, Range rows, Range k, float* sums,
                Prefetcher& prefetcher) {
    const auto& [along_d, along_h, along_w] = p_.axes;
    const AddStrip add = kTable[static_cast<std::size_t>(k.size() - 1)];
    for (std::int64_t r = 0; r < along_d.kernel; ++r) {
      if (positions_inside(along_d, r, {d, d + 1}).is_empty()) continue;
      for (std::int64_t s = 0; s < along_h.kernel; ++s) {
        const Range h = positions_inside(along_h, s, rows);
        if (h.is_empty()) continue;
        for (std::int64_t t = 0; t < along_w.kernel; ++t) {
          const Range w = positions_inside(along_w, t, {0, along_w.narrow});
          if (w.is_empty()) continue;
          const std::int64_t tap = (r * along_h.kernel + s) * along_w.kernel + t;
          prefetcher.advance();
          add({.x = p_.wide + n * p_.wide_sample + c0_ + wide_offset(0, d, r) +
                    wide_offset(1, h.lo, s) + wide_offset(2, w.lo, t),
               .dy = p_.narrow + n * p_.narrow_sample + d * p_.narrow_strides[0] +
                     h.lo * p_.narrow_strides[1] + w.lo * p_.narrow_strides[2] + k.lo,
               .x_step = p_.wide_strides[2] * along_w.stride,
               .dy_step = p_.narrow_strides[2],
               .x_row = p_.wide_strides[1] * along_h.stride,
               .dy_row = p_.narrow_strides[1],
               .rows = h.size(),
               .count = w.size()},
              sums + tap * k.size() * kChannels);
        }
      }
    }
  }

  /// Offset in x of the position that tap `tap` of axis `axis` reads for narrow position `o`.
  [[nodiscard]] std::int64_t wide_offset(std::size_t axis, std::int64_t o, std::int64_t tap) const {
    const ConvAxis& a = p_.axes[axis];
    return (o * a.stride - a.pad_lo + tap * a.dilation) * p_.wide_strides[axis];
  }

  /// Sums [tap][k][channel] of a block to dw.
  void write(Range k, const float* sums) const {
    const D d;
    for (std::int64_t r = 0; r < p_.axes[0].kernel; ++r)
      for (std::int64_t s = 0; s < p_.axes[1].kernel; ++s)
        for (std::int64_t t = 0; t < p_.axes[2].kernel; ++t)
          for (std::int64_t i = k.lo; i < k.hi; ++i) {
            float* dw = p_.weight + i * p_.weight_k + r * p_.weight_strides[0] +
                        s * p_.weight_strides[1] + t * p_.weight_strides[2] + c0_;
            for (std::int64_t c = 0; c < kChannels;
                 c += static_cast<std::int64_t>(hn::MaxLanes(d)), sums += hn::MaxLanes(d)) {
              const auto sum = hn::LoadU(d, sums);
              hn::StoreU(p_.accumulate ? hn::Add(hn::LoadU(d, dw + c), sum) : sum, d, dw + c);
            }
          }
  }

  static constexpr auto kTable =
      add_strip_table<D, kVectors>(std::make_index_sequence<kAccumulators / kVectors>());

  const ConvProblem& p_;
  std::int64_t c0_;
  float* buffer_;
  std::int64_t blocks_, block_floats_, row_group_;
};

/// For one vector type, as many channels from c0 on as it divides; returns the first one that is left.
template <class D>
std::int64_t run_channels(const ConvProblem& p, std::int64_t c0, float* buffer) {
  while (c0 + ChannelPass<D, 2>::kChannels <= p.c) {
    ChannelPass<D, 2>(p, c0, buffer).run();
    c0 += ChannelPass<D, 2>::kChannels;
  }
  while (c0 + ChannelPass<D, 1>::kChannels <= p.c) {
    ChannelPass<D, 1>(p, c0, buffer).run();
    c0 += ChannelPass<D, 1>::kChannels;
  }
  return c0;
}

void ConvGradWeight(const KernelArgs& args) {
  const ConvProblem p = grad_weight_problem(args);
  auto* buffer = reinterpret_cast<float*>(args.workspace.data());
  std::int64_t done = run_channels<F32>(p, 0, buffer);
  done = run_channels<hn::CappedTag<float, 8>>(p, done, buffer);  // half a vector of AVX-512
  HPDLF_ASSERT(done == p.c, "{} channels of {} were summed", done, p.c);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
namespace {

HWY_EXPORT(ConvGradWeight);

bool supports(const KernelArgs& args) {
  return args.attrs->integer("group") == 1 && args.in(0).extents.back() % 8 == 0 &&
         is_f32_with_dense_channels(args.in(0)) && is_f32_with_dense_channels(args.in(1)) &&
         is_f32_with_dense_channels(args.out(0));
}

/// Room for the buffer of the widest target: a block of taps x accumulators x lanes, or more of them.
std::size_t workspace(const KernelArgs& args) {
  constexpr std::int64_t kMostAccumulators = 24, kMostLanes = 16;
  const std::int64_t block = grad_weight_problem(args).taps() * kMostAccumulators * kMostLanes;
  return static_cast<std::size_t>(std::max(block, kGradWeightBufferFloats)) * sizeof(float);
}

}  // namespace

Kernel conv_grad_weight_simd() {
  return {.op = "ConvGradWeight",
          .variant = "simd",
          .run = HPDLF_SIMD_KERNEL(ConvGradWeight),
          .supports = supports,
          .workspace = workspace};
}

}  // namespace hpdlf::codelets
#endif
