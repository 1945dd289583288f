// Convolution by Winograd's F(4x4, 3x3) with transformed weights: forward, and by x with the weights of that direction.
//
// A block of tiles sweeps along D. Its planes of x are transformed once each; then every point is a matrix product of tiles by channels,
// summed over the taps along D in registers; the inverse transform adds the bias and writes y (or adds to it).
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/winograd_conv.cc"
#include <utility>

#include "codelets/cpu/winograd.hpp"
#include "codelets/cpu/workspace_layout.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/winograd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {
namespace {

/// Tiles whose sums fit in registers, two vectors each, beside two vectors of weights and a broadcast.
constexpr int kMostRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6;

/// Factors of a product that is summed over taps and channels: rows of 16 channels of x, lines of weights.
struct Product {
  const float* x[kMostTaps];        // row 0, channel 0 of each tap
  const float* weights[kMostTaps];  // input channel 0 of each tap
  std::int64_t taps = 0, channels = 0;
  std::int64_t x_line = 0;         // floats from one line of channels of x to the next
  std::int64_t weight_vector = 0;  // from one vector of outputs to the next
  std::int64_t out_vector = 0;
};

/// out[row][vector] = sum over taps and channels of x[row][channel] * weights[channel][vector].
template <int kRows, int kVectors>
HWY_NOINLINE void multiply(const Product& p, const std::int64_t row0, float* HWY_RESTRICT out) {
  const F32 d;
  VF32 sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  for (std::int64_t t = 0; t < p.taps; ++t) {
    const float* HWY_RESTRICT x = p.x[t] + row0 * kLine;
    const float* HWY_RESTRICT w = p.weights[t];
    for (std::int64_t left = p.channels; left > 0; left -= kLine, x += p.x_line) {
      const std::int64_t count = std::min(left, kLine);
#pragma GCC unroll 4
      for (std::int64_t c = 0; c < count; ++c, w += kLine) {
        VF32 ws[kVectors];
        for (int v = 0; v < kVectors; ++v) ws[v] = hn::LoadU(d, w + v * p.weight_vector);
        for (int r = 0; r < kRows; ++r) {
          const VF32 xs = hn::Set(d, x[r * kLine + c]);
          for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(xs, ws[v], sums[r][v]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) hn::Store(sums[r][v], d, out + r * kLine + v * p.out_vector);
}

using Multiply = void (*)(const Product&, std::int64_t, float*);
template <int kVectors, std::size_t... kRows>
constexpr std::array<Multiply, sizeof...(kRows)> multiply_table(std::index_sequence<kRows...>) {
  return {multiply<static_cast<int>(kRows) + 1, kVectors>...};
}
constexpr auto kMultiplyOne = multiply_table<1>(std::make_index_sequence<kMostRows>());
constexpr auto kMultiplyTwo = multiply_table<2>(std::make_index_sequence<kMostRows>());

/// Inverse transform of a block's plane: adds `bias`, and to what is there with `accumulate`.
template <class T>
class OutputTransform {
 public:
  OutputTransform(const Problem& p, const Blocking& blocking, const float* bias, bool accumulate)
      : p_(p), b_(blocking), bias_(bias), accumulate_(accumulate) {}

  /// @param points point 0, line 0 of the plane  @param line_step floats between lines
  void run(const float* points, std::int64_t line_step, const TileBlock& block, T* plane) const {
    for (std::int64_t r = 0; r < block.rows; ++r)
      for (std::int64_t c = 0; c < block.columns; ++c) {
        const std::int64_t h = (block.row0 + r) * kOut, w = (block.column0 + c) * kOut;
        const std::int64_t height = std::min(kOut, p_.axes[1].narrow - h);
        const std::int64_t width = std::min(kOut, p_.axes[2].narrow - w);
        const float* tile = points + (r * block.columns + c) * kLine;
        T* y = plane + h * p_.y_strides[1] + w * p_.y_strides[2];
        for (std::int64_t line = 0; line < p_.k_lines(); ++line)
          for_each_vector_of_line(
              line, p_.k, [&](auto access, std::int64_t k, std::int64_t v) HWY_ATTR {
                if (access.count() > 0)
                  write_tile(access, tile + line * line_step + v, k, height, width, y + k);
              });
      }
  }

 private:
  template <class Access>
  HWY_INLINE void write_tile(const Access& access, const float* HWY_RESTRICT points, std::int64_t k,
                             std::int64_t height, std::int64_t width, T* y) const {
    VF32 half[kIn][kOut];
    for (std::int64_t i = 0; i < kIn; ++i) {
      VF32 m[kIn];
      for (std::int64_t j = 0; j < kIn; ++j)
        m[j] = hn::Load(F32(), points + (i * kIn + j) * b_.y_point);
      transform_output(m, half[i]);
    }
    const VF32 bias = bias_ != nullptr ? access.load(bias_ + k) : hn::Zero(F32());
    for (std::int64_t j = 0; j < kOut; ++j) {
      VF32 m[kIn], column[kOut];
      for (std::int64_t i = 0; i < kIn; ++i) m[i] = half[i][j];
      transform_output(m, column);
      if (j >= width) break;
      for (std::int64_t i = 0; i < kOut; ++i) {
        if (i >= height) break;
        T* to = y + i * p_.y_strides[1] + j * p_.y_strides[2];
        VF32 value = hn::Add(column[i], bias);
        if (accumulate_) value = hn::Add(value, access.load(to));
        access.store(value, to);
      }
    }
  }

  const Problem& p_;
  const Blocking& b_;
  const float* bias_;
  bool accumulate_;
};

/// What is done where the walk has transformed the planes of x.
template <class T>
class ForwardWork {
 public:
  using ForwardWalk = Walk<T, ForwardWork>;

  ForwardWork(const Problem& p, const Blocking& blocking, const float* weights, float* y_points,
              const float* bias, bool accumulate)
      : p_(p),
        b_(blocking),
        weights_(weights),
        y_points_(y_points),
        output_(p, blocking, bias, accumulate) {}

  void planes(const Part& part, const Part* next, const ForwardWalk& walk) const {
    const std::int64_t tiles = part.block.tiles(), runs = b_.is_linear ? 1 : part.count;
    const std::int64_t rows = b_.is_linear ? part.count * tiles : tiles;
    const std::int64_t outputs = p_.k_lines() * kLine;
    Prefetcher prefetcher;
    if (next != nullptr) prefetcher.add(walk.inputs_of(*next));
    prefetcher.spread_over(kPoints * blocks_of(outputs, 2 * kLanes) * runs *
                           blocks_of(rows, kMostRows));
    for (std::int64_t point = 0; point < kPoints; ++point)
      for (std::int64_t k = 0; k < outputs; k += 2 * kLanes)
        for (std::int64_t i = 0; i < runs; ++i) {
          const Product product = product_of(walk, part, point, k, part.first + i);
          float* out =
              y_points_ + point * b_.y_point + k / kLine * y_line() + i * tiles * kLine + k % kLine;
          multiply_rows(product, k + kLanes < outputs, rows, out, prefetcher);
        }
    for (std::int64_t i = 0; i < part.count; ++i)
      output_.run(y_points_ + i * tiles * kLine, y_line(), part.block,
                  p_.y_plane<T>(part.sample, part.first + i));
  }

 private:
  [[nodiscard]] std::int64_t y_line() const { return b_.planes * b_.tiles() * kLine; }

  /// The factors of the tiles from plane `plane` of y on, for outputs from k on.
  [[nodiscard]] Product product_of(const ForwardWalk& walk, const Part& part, std::int64_t point,
                                   std::int64_t k, std::int64_t plane) const {
    Product product;
    product.channels = p_.c;
    product.x_line = walk.line_step();
    const std::int64_t line = weight_line(p_.taps(), p_.c);
    product.weight_vector = kLanes == kLine ? line : kLanes;
    product.out_vector = kLanes == kLine ? y_line() : kLanes;
    const float* weights =
        weights_ + k / kLine * line + point * weight_point(p_.taps(), p_.c) + k % kLine;
    for (std::int64_t t = 0; t < p_.taps(); ++t) {
      const float* x = walk.slot(plane - p_.axes[0].pad_lo + t, part.block);
      if (x == nullptr) continue;
      product.x[product.taps] = x + point * b_.x_point;
      product.weights[product.taps++] = weights + t * p_.c * kLine;
    }
    return product;
  }

  static void multiply_rows(const Product& product, bool is_pair, std::int64_t rows, float* out,
                            Prefetcher& prefetcher) {
    const auto& table = is_pair ? kMultiplyTwo : kMultiplyOne;
    const std::int64_t groups = blocks_of(rows, kMostRows);
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t lo = rows * g / groups, hi = rows * (g + 1) / groups;
      prefetcher.advance();
      table[static_cast<std::size_t>(hi - lo - 1)](product, lo, out + lo * kLine);
    }
  }

  const Problem& p_;
  const Blocking& b_;
  const float* weights_;
  float* y_points_;
  OutputTransform<T> output_;
};

/// No window of the tile meets any input.
template <class T>
void write_bias(const Problem& p, const float* bias) {
  for (std::int64_t n = 0; n < p.n; ++n)
    for (std::int64_t d = 0; d < p.axes[0].narrow; ++d)
      for (std::int64_t h = 0; h < p.axes[1].narrow; ++h)
        for (std::int64_t w = 0; w < p.axes[2].narrow; ++w) {
          T* to = p.y_plane<T>(n, d) + h * p.y_strides[1] + w * p.y_strides[2];
          for (std::int64_t k = 0; k < p.k; ++k) to[k] = T(bias != nullptr ? bias[k] : 0.0F);
        }
}

template <class T>
void convolve(const KernelArgs& args, const ConvCall& call) {
  const Problem& p = call.problem;
  if (p.is_empty) {
    if (!args.accumulate) write_bias<T>(p, call.bias);
    return;
  }
  const Blocking blocking(p, kCachedBytes);
  auto* x_points = reinterpret_cast<float*>(args.workspace.data());
  float* y_points = x_points + blocking.x_floats();
  float* strip = y_points + blocking.y_floats();
  ForwardWork<T> work(p, blocking, call.weights, y_points, call.bias, args.accumulate);
  Walk<T, ForwardWork<T>>(p, blocking, x_points, strip).run(work);
}

}  // namespace

void WinogradConv(const KernelArgs& args) {
  const ConvCall call(args);
  with_storage(call.problem.dtype, [&](auto type) { convolve<decltype(type)>(args, call); });
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets::winograd {
namespace {

HWY_EXPORT(WinogradConv);

bool supports(const KernelArgs& args) {
  return have_dense_channels(args.in(0), args.out(0)) && is_f32_with_dense_channels(args.in(1));
}

std::size_t workspace(const KernelArgs& args) {
  const Problem p = ConvCall(args).problem;
  if (p.is_empty) return 0;
  const Blocking b(p, kCachedBytes);
  return static_cast<std::size_t>(b.x_floats() + b.y_floats() + b.strip_floats()) * sizeof(float);
}

}  // namespace

Kernel conv_kernel(bool normalized) {
  return {.op = normalized ? "NormalizedWinogradConv" : "WinogradConv",
          .variant = "f4x4",
          .run = HPDLF_SIMD_KERNEL(WinogradConv),
          .supports = supports,
          .workspace = workspace};
}

}  // namespace hpdlf::codelets::winograd
#endif
