// Gradient of a 3x3 (x any along D) convolution by its weight, by the transpose of Winograd's F(4x4, 3x3),
// F(2x4x4, 3x3x3) or F(4x4x4, 3x3x3):
//
//   dg = G^T [ sum over tiles of (B^T d B) . (A dY A^T) ] G
//
// As in winograd_conv.cc a block sweeps along D. Every point is a matrix product of channels by channels, summed over a part's tiles in
// registers first and added to the sums of the sweep in memory then: errors of long sums stay near those of short ones. Where a part is a
// whole small sample its sums are transformed back and added to dw 16 channels of dy at a time, while they are in L2.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/winograd_grad_weight.cc"
#include <span>

#include "codelets/cpu/winograd_grad_weight.hpp"
#include "codelets/cpu/workspace_layout.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/winograd-inl.hpp"
#include "codelets/cpu/winograd_gradient_output-inl.hpp"
#include "codelets/cpu/winograd_gradient_transform-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {
namespace {

/// Channels of dy of a product with two vectors of x, and with one: enough sums to hide the latency of adding to one, no more than the
/// registers hold. A line is cut into so many and a rest.
constexpr int kMostRows = HWY_TARGET <= HWY_AVX3 ? 8 : 6;
constexpr int kMostRowsOfOne = HWY_TARGET <= HWY_AVX3 ? 16 : 8;

/// A run of tiles that is summed over: line 0 of dy and of x.
struct Run {
  const float *dy, *x;
  std::int64_t tiles;

  /// False if `next` does not follow in memory.
  bool append(const Run& next) {
    const std::int64_t floats = tiles * kLine;
    if (dy + floats != next.dy || x + floats != next.x) return false;
    tiles += next.tiles;
    return true;
  }
};

/// Where in every run the factors of a product begin, and from one vector of x to the next.
struct Factors {
  std::int64_t dy, x, x_vector;
};

/// sums[row][vector] (+)= sum over the runs' tiles of dy[tile][row] * x[tile][vector]; a tile is a line.
template <int kRows, int kVectors>
HWY_NOINLINE void multiply(std::span<const Run> runs, const Factors& factors, bool add,
                           std::int64_t row_floats, float* HWY_RESTRICT sums) {
  const F32 d;
  VF32 acc[kRows][kVectors];
  // Unrolled from the start, lest the compiler keep the sums in memory too. Memory they are added to is on its way meanwhile.
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      constexpr int kWrite = 1, kFirstLevel = 3;
      __builtin_prefetch(sums + r * row_floats + v * kLanes, kWrite, kFirstLevel);
      acc[r][v] = hn::Zero(d);
    }
  for (const Run& run : runs) {
    const float* HWY_RESTRICT dy = run.dy + factors.dy;
    const float* HWY_RESTRICT x = run.x + factors.x;
    for (std::int64_t t = 0; t < run.tiles; ++t, dy += kLine, x += kLine) {
      VF32 xs[kVectors];
      for (int v = 0; v < kVectors; ++v) xs[v] = hn::Load(d, x + v * factors.x_vector);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const VF32 g = hn::Set(d, dy[r]);
        for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::MulAdd(g, xs[v], acc[r][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* to = sums + r * row_floats + v * kLanes;
      hn::Store(add ? hn::Add(hn::Load(d, to), acc[r][v]) : acc[r][v], d, to);
    }
}

/// The products of the walk, summed over it: [point][direct tap along D][k][c], of a pass and a line of k if has_line_sums().
template <class T>
class GradientWork {
 public:
  using GradientWalk = Walk<T, GradientWork>;
  static constexpr bool kHasPhases = false;

  GradientWork(const Problem& p, const Blocking& blocking, const TensorView& dw, bool accumulate,
               float* y_points, float* sums)
      : p_(p),
        b_(blocking),
        accumulate_(accumulate),
        y_points_(y_points),
        sums_(sums),
        transform_(p, blocking),
        output_(p, blocking, dw) {}

  template <class Pass>
  void run(Pass, const Part& part, const Part* next, const GradientWalk& walk) {
    for (std::int64_t i = 0; i < part.count; ++i) {
      const std::int64_t plane = (part.first + i) * Pass::kOuts;
      transform_.template run<Pass>(p_.y_plane<T>(part.sample, plane), part.block,
                                    std::min(Pass::kOuts, p_.axes[0].narrow - plane),
                                    y_points_ + i * part.block.tiles() * kLine);
    }
    Prefetcher prefetcher;
    if (next != nullptr) {
      prefetcher.add(walk.inputs_of(*next));
      prefetcher.add(gradients_of(*next));
    }
    prefetcher.spread_over(p_.points.in_pass() * p_.k_lines() * p_.taps() *
                           blocks_of(part.count, kMostRuns) * products_of_line());
    if (has_line_sums(p_, b_)) {
      for (std::int64_t line = 0; line < p_.k_lines(); ++line) {
        for (std::int64_t point = 0; point < p_.points.in_pass(); ++point)
          multiply_line(walk, part, point, line, false, sums_, prefetcher);
        output_.template write_pass<Pass>(line, sums_, accumulate_);
      }
      if (Pass::kIsLast) accumulate_ = true;  // the next sample adds
    } else {
      float* sums = sums_ + Pass::kNumber * p_.points.in_pass() * sums_of_point(p_, b_);
      for (std::int64_t point = 0; point < p_.points.in_pass(); ++point)
        for (std::int64_t line = 0; line < p_.k_lines(); ++line)
          multiply_line(walk, part, point, line, has_sums_, sums + line * kLine * row_floats(),
                        prefetcher);
      if (Pass::kIsLast) has_sums_ = true;
    }
  }

  void finish() const {
    if (has_line_sums(p_, b_)) return;
    for (std::int64_t line = 0; line < p_.k_lines(); ++line)
      output_.write_all(line, sums_ + line * kLine * row_floats(), accumulate_);
  }

 private:
  [[nodiscard]] std::int64_t row_floats() const { return p_.c_lines() * kLine; }
  /// From one vector of channels of x to the next.
  [[nodiscard]] std::int64_t vector_floats() const { return kLanes == kLine ? b_.x.line : kLanes; }

  /// The memory of dy that `part` transforms.
  [[nodiscard]] RowsToPrefetch gradients_of(const Part& part) const {
    const std::int64_t h = part.block.row0 * kOut, w = part.block.column0 * kOut;
    const std::int64_t columns = std::min(part.block.columns * kOut, p_.axes[2].narrow - w);
    const std::int64_t plane = part.first * p_.points.depth;
    const T* first = p_.y_plane<T>(part.sample, plane) + h * p_.y_strides[1] + w * p_.y_strides[2];
    return rows_to_prefetch(first, p_.y_strides,
                            std::min(part.count * p_.points.depth, p_.axes[0].narrow - plane),
                            std::min(part.block.rows * kOut, p_.axes[1].narrow - h), columns);
  }

  /// The products of one point for 16 channels of dy, to their `sums` or added to them.
  void multiply_line(const GradientWalk& walk, const Part& part, std::int64_t point,
                     std::int64_t line, bool add, float* sums, Prefetcher& prefetcher) const {
    Run runs[kMostRuns];
    sums += point * sums_of_point(p_, b_);
    const std::int64_t dy = point * b_.y.point + line * b_.y.line, x = point * b_.x.point;
    for (std::int64_t t = 0; t < p_.taps(); ++t)
      for (std::int64_t i = 0; i < part.count; i += kMostRuns) {
        const std::span<const Run> found = find_runs(walk, part, i, t, runs);
        multiply_runs(found, {dy, x, vector_floats()}, add || i > 0, sums + t * sums_of_tap(p_, b_),
                      prefetcher);
      }
  }

  /// Layers [lo, lo + kMostRuns) of the part: a run a layer for which x is there, or where all follow one another a single one.
  std::span<const Run> find_runs(const GradientWalk& walk, const Part& part, std::int64_t lo,
                                 std::int64_t tap, std::span<Run> runs) const {
    const std::int64_t tiles = part.block.tiles();
    std::size_t found = 0;
    for (std::int64_t i = lo; i < std::min(part.count, lo + kMostRuns); ++i) {
      const float* x = walk.factor(part, i, tap);
      if (x == nullptr) continue;
      const Run run{y_points_ + i * tiles * kLine, x, tiles};
      if (found == 0 || !runs[found - 1].append(run)) runs[found++] = run;
    }
    return runs.first(found);
  }

  void multiply_runs(std::span<const Run> runs, const Factors& factors, bool add, float* sums,
                     Prefetcher& prefetcher) const {
    for (std::int64_t c = 0; c < row_floats(); c += 2 * kLanes) {
      Factors of = factors;
      of.x += c / kLine * b_.x.line + c % kLine;
      if (c + kLanes < row_floats())
        multiply_channels<kMostRows, 2>(runs, of, add, sums + c, prefetcher);
      else
        multiply_channels<kMostRowsOfOne, 1>(runs, of, add, sums + c, prefetcher);
    }
  }

  /// The products with kVectors vectors of x.
  template <int kRows, int kVectors>
  void multiply_channels(std::span<const Run> runs, Factors factors, bool add, float* sums,
                         Prefetcher& prefetcher) const {
    constexpr int kRest = kLine % kRows;
    for (std::int64_t k = 0; k < kLine; k += kRows, factors.dy += kRows) {
      prefetcher.advance();
      auto* multiply_rows = multiply<kRows, kVectors>;
      if constexpr (kRest > 0)
        if (k + kRows > kLine) multiply_rows = multiply<kRest, kVectors>;
      multiply_rows(runs, factors, add, row_floats(), sums + k * row_floats());
    }
  }

  /// Products of a line of dy with all of x.
  [[nodiscard]] std::int64_t products_of_line() const {
    const std::int64_t vectors = row_floats() / kLanes;
    return vectors / 2 * blocks_of(kLine, kMostRows) +
           vectors % 2 * blocks_of(kLine, kMostRowsOfOne);
  }

  static constexpr std::int64_t kMostRuns = 64;

  const Problem& p_;
  const Blocking& b_;
  bool accumulate_, has_sums_ = false;
  float *y_points_, *sums_;
  GradientTransform<T> transform_;
  GradientOutput output_;
};

template <class T>
void sum_products(const KernelArgs& args, const Problem& p, const TensorView& dw) {
  const Blocking blocking = grad_weight_blocking(p);
  auto* x_points = reinterpret_cast<float*>(args.workspace.data());
  float* y_points = x_points + blocking.x.floats;
  float* window = y_points + blocking.y.floats;
  float* sums = window + blocking.window_floats;
  GradientWork<T> work(p, blocking, dw, args.accumulate, y_points, sums);
  Walk<T, GradientWork<T>>(p, blocking, x_points, window).run(work);
  work.finish();
}

}  // namespace

void WinogradConvGradWeight(const KernelArgs& args) {
  const Problem whole = grad_weight_problem(args);
  for_each_channel_block(whole, [&](const Problem& p, std::int64_t c, std::int64_t k) {
    TensorView dw = args.out(0);  // from these channels on
    dw.data = dw.as<float>() + k * dw.strides[0] + c;
    with_storage(p.dtype, [&](auto type) { sum_products<decltype(type)>(args, p, dw); });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "codelets/cpu/rows.hpp"

namespace hpdlf::codelets::winograd {
namespace {

HWY_EXPORT(WinogradConvGradWeight);

bool supports(const KernelArgs& args) {
  return have_dense_channels(args.in(0), args.inputs.back()) &&
         is_f32_with_dense_channels(args.out(0));
}

std::size_t workspace(const KernelArgs& args) {
  const Problem whole = grad_weight_problem(args);
  if (whole.is_empty) return 0;
  std::int64_t most = 0;
  for_each_channel_block(whole, [&](const Problem& p, std::int64_t, std::int64_t) {
    const Blocking b = grad_weight_blocking(p);
    const std::int64_t summed = has_line_sums(p, b) ? p.points.in_pass() : p.points.count();
    most = std::max(most, b.x.floats + b.y.floats + b.window_floats + summed * sums_of_point(p, b));
  });
  return static_cast<std::size_t>(most) * sizeof(float);
}

/// No window of the tile meets any input: the gradient is 0.
void run(const KernelArgs& args) {
  if (!grad_weight_problem(args).is_empty)
    HWY_DYNAMIC_DISPATCH(WinogradConvGradWeight)(args);
  else if (!args.accumulate)
    fill_zero(args.out(0));
}

}  // namespace

Kernel grad_weight_kernel(bool normalized) {
  return {.op = normalized ? "NormalizedWinogradConvGradWeight" : "WinogradConvGradWeight",
          .variant = "f4",
          .run = run,
          .supports = supports,
          .workspace = workspace};
}

}  // namespace hpdlf::codelets::winograd
#endif
