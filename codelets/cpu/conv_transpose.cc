// Transposed convolution whose windows do not overlap (kernel = stride, as decoders of U-Nets have it), hand-written: a matrix product with an
// interleaving store. oneDNN reaches half of the peak there, and its results pass through the caches.
//
// A register tile is a few positions of a row of x by two vectors of outputs; a block of tiles meets the weights of one tap and two vectors
// before the next, so that they stay in L1.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/conv_transpose.cc"
#include <array>
#include <utility>

#include "codelets/cpu/conv_transpose.hpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/register_sums-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::transpose {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using codelets::HWY_NAMESPACE::F32;
using codelets::HWY_NAMESPACE::RegisterSums;
using codelets::HWY_NAMESPACE::Rest;
using codelets::HWY_NAMESPACE::VF32;
using codelets::HWY_NAMESPACE::Whole;

constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(F32()));
static_assert(kLine % kLanes == 0);
/// Positions whose sums fit in registers, two vectors each.
constexpr int kMostRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;

/// Rows of x, and the weights of two vectors of outputs.
struct Product {
  const float* x;
  std::int64_t x_step;  // floats from one position to the next
  std::int64_t inputs;
  const float* weights;
  std::int64_t weight_vector;  // floats from one vector of outputs to the next
};

/// sums[row][vector] = sum over inputs of x[row] * weights[vector].
template <int kRows, int kVectors>
HWY_NOINLINE void multiply(const Product& p, float* HWY_RESTRICT out) {
  const F32 d;
  constexpr int kOfPointer = 4;  // rows that one register and multiples of x_step lead to
  constexpr std::int64_t kFetched = 12 * kLine;
  RegisterSums<kVectors * kLanes, kRows, kVectors> sums;
  sums.clear();
  const float* x[(kRows + kOfPointer - 1) / kOfPointer];
  for (int i = 0; i * kOfPointer < kRows; ++i) x[i] = p.x + i * kOfPointer * p.x_step;
  const float* HWY_RESTRICT w = p.weights;
#pragma GCC unroll 4
  for (std::int64_t k = 0; k < p.inputs; ++k, w += kLine) {
    VF32 ws[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      ws[v] = hn::Load(d, w + v * p.weight_vector);
      __builtin_prefetch(w + v * p.weight_vector + kFetched);
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const VF32 xs = hn::Set(d, x[r / kOfPointer][k + r % kOfPointer * p.x_step]);
      for (int v = 0; v < kVectors; ++v) sums.of[r][v] = hn::MulAdd(xs, ws[v], sums.of[r][v]);
    }
  }
  sums.flush(out, kLanes, true);
}

using Multiply = void (*)(const Product&, float*);
template <int kVectors, std::size_t... kRows>
constexpr std::array<Multiply, sizeof...(kRows)> multiply_table(std::index_sequence<kRows...>) {
  return {multiply<static_cast<int>(kRows) + 1, kVectors>...};
}
/// [rows - 1]
template <int kVectors>
constexpr auto kMultiply = multiply_table<kVectors>(std::make_index_sequence<kMostRows>());

/// Positions of a row of x.
struct Tile {
  const float* x = nullptr;
  float* y = nullptr;  // of the first one's tap 0
  std::int64_t rows = 0;
};

class Scatter {
 public:
  Scatter(const Problem& p, std::byte* workspace)
      : p_(p),
        weights_(reinterpret_cast<float*>(workspace + Layout(p).weights)),
        bias_(reinterpret_cast<float*>(workspace + Layout(p).bias)),
        passes_caches_(!p.accumulate && p.y_bytes() >= kStreamedBytes && 2 * kLanes % kLine == 0 &&
                       has_whole_lines(p.wide, p.c, p.wide_sample, p.wide_strides)) {
    pack();
  }

  void run() {
    const auto& [d, h, w] = p_.axes;
    const std::int64_t in_row = (w.narrow + kMostRows - 1) / kMostRows;
    for (std::int64_t n = 0; n < p_.n; ++n)
      for (std::int64_t i = 0; i < d.narrow; ++i)
        for (std::int64_t j = 0; j < h.narrow; ++j)
          for (std::int64_t t = 0; t < in_row; ++t)
            add_tile(n, i, j, w.narrow * t / in_row, w.narrow * (t + 1) / in_row);
    multiply_tiles();
    if (passes_caches_) hwy::FlushStream();  // before another core reads y
  }

 private:
  void pack() {
    std::fill_n(bias_, p_.lines() * kLine, 0.0F);
    if (p_.bias != nullptr)
      for (std::int64_t c = 0; c < p_.c; ++c) bias_[c] = p_.bias[c % p_.biases];
    float* to = weights_;
    for (std::int64_t tap = 0; tap < p_.taps(); ++tap)
      for (std::int64_t c = 0; c < p_.c; c += kLine) {
        const float* from = p_.weight + offset_of(tap, p_.weight_strides) + c;
        const std::int64_t count = std::min(kLine, p_.c - c);
        for (std::int64_t k = 0; k < p_.k; ++k, from += p_.weight_k, to += kLine) {
          std::copy_n(from, count, to);
          std::fill(to + count, to + kLine, 0.0F);
        }
      }
  }

  /// Of tap number `tap` of a window.
  [[nodiscard]] std::int64_t offset_of(std::int64_t tap,
                                       const std::array<std::int64_t, 3>& strides) const {
    const std::int64_t h = p_.axes[1].kernel, w = p_.axes[2].kernel;
    return tap / (h * w) * strides[0] + tap / w % h * strides[1] + tap % w * strides[2];
  }

  void add_tile(std::int64_t n, std::int64_t d, std::int64_t h, std::int64_t w0, std::int64_t w1) {
    const auto y_of = [&](std::size_t axis, std::int64_t i) {
      return i * p_.axes[axis].stride * p_.wide_strides[axis];
    };
    tiles_[static_cast<std::size_t>(count_++)] = {
        p_.narrow + n * p_.narrow_sample + d * p_.narrow_strides[0] + h * p_.narrow_strides[1] +
            w0 * p_.narrow_strides[2],
        p_.wide + n * p_.wide_sample + y_of(0, d) + y_of(1, h) + y_of(2, w0), w1 - w0};
    if (count_ == kTiles) multiply_tiles();
  }

  void multiply_tiles() {
    const std::int64_t line = p_.k * kLine;
    for (std::int64_t tap = 0; tap < p_.taps(); ++tap)
      for (std::int64_t c = 0; c < p_.c; c += 2 * kLanes) {
        const bool is_pair = c + kLanes < p_.c;
        const float* weights = weights_ + (tap * p_.lines() + c / kLine) * line + c % kLine;
        for (std::int64_t i = 0; i < count_; ++i) {
          const Tile& tile = tiles_[static_cast<std::size_t>(i)];
          HWY_ALIGN float sums[kMostRows * 2 * kLanes];
          (is_pair ? kMultiply<2> : kMultiply<1>)[static_cast<std::size_t>(tile.rows - 1)](
              {tile.x, p_.narrow_strides[2], p_.k, weights, kLanes == kLine ? line : kLanes}, sums);
          write(tile.y + offset_of(tap, p_.wide_strides), tile.rows, c, is_pair ? 2 : 1, sums);
        }
      }
    count_ = 0;
  }

  /// The sums of `rows` positions for outputs from c on.
  void write(float* y, std::int64_t rows, std::int64_t c, int vectors, const float* sums) const {
    const std::int64_t step = p_.axes[2].stride * p_.wide_strides[2];
    for (std::int64_t r = 0; r < rows; ++r, y += step)
      for (int v = 0; v < vectors; ++v, sums += kLanes) {
        const std::int64_t at = c + v * kLanes;
        const VF32 value = hn::Add(hn::Load(F32(), sums), hn::Load(F32(), bias_ + at));
        if (passes_caches_)
          hn::Stream(value, F32(), y + at);
        else if (at + kLanes <= p_.c)
          write_vector(Whole{}, value, y + at);
        else
          write_vector(Rest{p_.c - at}, value, y + at);
      }
  }

  template <class Access>
  HWY_INLINE void write_vector(const Access& access, VF32 value, float* y) const {
    access.store(p_.accumulate ? hn::Add(value, access.load(y)) : value, y);
  }

  const Problem& p_;
  float *weights_, *bias_;
  bool passes_caches_;
  std::array<Tile, kTiles> tiles_;
  std::int64_t count_ = 0;
};

}  // namespace

void ConvTranspose(const KernelArgs& args) {
  const Problem problem(args);
  Scatter(problem, args.workspace.data()).run();
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::transpose
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
namespace transpose {
namespace {

HWY_EXPORT(ConvTranspose);

/// Longer sums would have to be summed in parts, lest their rounding grow.
constexpr std::int64_t kMostInputs = 1024;

bool supports(const KernelArgs& args) {
  if (args.attrs->integer("group") != 1 || args.in(0).extents.back() > kMostInputs ||
      !is_f32_with_dense_channels(args.out(0)) ||
      !std::all_of(args.inputs.begin(), args.inputs.end(), is_f32_with_dense_channels))
    return false;
  const ConvTile tile = tile_of(args);
  const bool is_strided = std::any_of(tile.axes.begin(), tile.axes.begin() + tile.spatial,
                                      [](const ConvAxis& axis) { return axis.stride > 1; });
  return !tile.is_empty && !tile.is_cropped && is_strided && windows_tile(tile);
}

std::size_t workspace(const KernelArgs& args) { return Layout(Problem(args)).layout.bytes(); }

}  // namespace
}  // namespace transpose

Kernel conv_transpose_simd(const char* op) {
  return {.op = op,
          .variant = "simd",
          .run = HPDLF_SIMD_KERNEL(transpose::ConvTranspose),
          .supports = transpose::supports,
          .workspace = transpose::workspace};
}

}  // namespace hpdlf::codelets
#endif
