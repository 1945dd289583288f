// Convolution by Winograd's F(4x4, 3x3), F(2x4x4, 3x3x3) or F(4x4x4, 3x3x3) with transformed weights: forward, and by x with the weights
// of that direction.
//
// A block of tiles sweeps along D. Its part of x is transformed; then every point is a matrix product of tiles by channels, summed over
// the direct taps along D in registers; the inverse transform adds the bias and writes y (or adds to it).
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/winograd_conv.cc"
#include "codelets/cpu/winograd.hpp"
#include "codelets/cpu/workspace_layout.hpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/winograd-inl.hpp"
#include "codelets/cpu/winograd_product-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {
namespace {

/// Inverse transform of a block's layer: adds `bias`, and to what is there with `accumulate`. Where D is transformed every pass brings its
/// part: the sums of a tile, [plane][4][4][16], are kept until the last.
template <class T>
class OutputTransform {
 public:
  OutputTransform(const Problem& p, const Blocking& blocking, const float* bias, bool accumulate)
      : p_(p),
        b_(blocking),
        bias_(bias),
        accumulate_(accumulate),
        passes_caches_(!accumulate && std::is_same_v<T, float> && kLanes == kLine &&
                       p.y_bytes() >= kStreamedBytes &&
                       has_whole_lines(p.y, p.k, p.y_sample, p.y_strides)) {}
  /// Before another core reads y.
  void finish() const {
    if (passes_caches_) hwy::FlushStream();
  }

  /// @param points tile 0, line 0 of the layer  @param sums of the layer
  /// @param planes of y in the layer
  template <class Pass>
  void run(const float* points, float* sums, const TileBlock& block, std::int64_t planes,
           T* plane) const {
    for_each_tile<Pass>(
        p_, block, planes, plane, [&](std::int64_t tile, T* y, const TileExtent& extent) HWY_ATTR {
          for (std::int64_t line = 0; line < p_.k_lines(); ++line)
            run_line<Pass>(points + tile * b_.y.tile + line * b_.y.line,
                           sums + (tile * p_.k_lines() + line) * kSquare * Pass::kOuts * kLine,
                           line, y, extent);
        });
  }

 private:
  static constexpr std::int64_t kSquare = kOut * kOut;

  template <class Access>
  struct Tile {
    Access access;
    T* y;
    VF32 bias;
    TileExtent extent;
  };

  template <class Pass>
  HWY_INLINE void run_line(const float* points, float* sums, std::int64_t line, T* y,
                           const TileExtent& extent) const {
    for_each_vector_of_line(line, p_.k, [&](auto access, std::int64_t k, std::int64_t v) HWY_ATTR {
      if (access.count() == 0) return;
      const float* from = points + v;
      const Tile<decltype(access)> to{
          access, y + k, bias_ != nullptr ? access.load(bias_ + k) : hn::Zero(F32()), extent};
      if constexpr (Pass::kOuts > 1)
        add_pass<Pass>(from, sums + v, to);
      else
        inverse<Pass>([&](std::int64_t i) HWY_ATTR { return hn::Load(F32(), from + i * kLine); },
                      [&](std::int64_t i, std::int64_t j, VF32 value)
                          HWY_ATTR { write<Pass>(to, 0, i, j, value); });
    });
  }

  template <class Pass, class Access>
  HWY_INLINE void write(const Tile<Access>& tile, std::int64_t d, std::int64_t i, std::int64_t j,
                        VF32 value) const {
    constexpr std::int64_t kStep = Pass::kPoints.stride;  // only dx has phases
    if (d >= tile.extent.planes || i >= tile.extent.height || j >= tile.extent.width) return;
    if (kStep > 1 && (i < tile.extent.row0 || j < tile.extent.column0)) return;
    T* to = tile.y + d * p_.y_strides[0] + (i * p_.y_strides[1] + j * p_.y_strides[2]) * kStep;
    value = hn::Add(value, tile.bias);
    if constexpr (std::is_same_v<T, float> && std::is_same_v<Access, Whole>) {
      if (passes_caches_) return hn::Stream(value, F32(), to);
    }
    if (accumulate_) value = hn::Add(value, tile.access.load(to));
    tile.access.store(value, to);
  }

  /// Adds the pass's two points along D to the sums of the planes; the last pass writes y.
  template <class Pass, class Access>
  HWY_INLINE void add_pass(const float* HWY_RESTRICT points, float* HWY_RESTRICT sums,
                           const Tile<Access>& tile) const {
    const auto point = [&](std::int64_t i) HWY_ATTR { return hn::Load(F32(), points + i * kLine); };
    const auto sum = [&](std::int64_t d, std::int64_t i, std::int64_t j)
                         HWY_ATTR { return sums + (d * kSquare + i * kOut + j) * kLine; };
    if constexpr (Pass::kIsFirst) {  // 0 reaches the first plane, inf the last
      for (const std::int64_t d : {std::int64_t{0}, Pass::kOuts - 1})
        inverse<Pass>([&](std::int64_t i) HWY_ATTR { return point(d == 0 ? i : kPlane + i); },
                      [&](std::int64_t i, std::int64_t j, VF32 value)
                          HWY_ATTR { hn::Store(value, F32(), sum(d, i, j)); });
    } else {  // p and -p: even powers of p times their sum, odd ones times their difference
      constexpr float kP = Pass::kPoint;
      inverse<Pass>([&](std::int64_t i) HWY_ATTR { return hn::Add(point(i), point(kPlane + i)); },
                    [&](std::int64_t i, std::int64_t j, VF32 value) HWY_ATTR {
                      add<Pass>(tile, 0, i, j, value, sum(0, i, j));
                      if constexpr (Pass::kOuts > 2)
                        add<Pass>(tile, 2, i, j, hn::Mul(constant(kP * kP), value), sum(2, i, j));
                    });
      inverse<Pass>([&](std::int64_t i) HWY_ATTR { return hn::Sub(point(i), point(kPlane + i)); },
                    [&](std::int64_t i, std::int64_t j, VF32 value) HWY_ATTR {
                      add<Pass>(tile, 1, i, j, hn::Mul(constant(kP), value), sum(1, i, j));
                      if constexpr (Pass::kOuts > 2)
                        add<Pass>(tile, 3, i, j, hn::Mul(constant(kP * kP * kP), value),
                                  sum(3, i, j));
                    });
    }
  }

  /// The first pass has begun the sums of the first plane and of the last, the second those of the others.
  template <class Pass, class Access>
  HWY_INLINE void add(const Tile<Access>& tile, std::int64_t d, std::int64_t i, std::int64_t j,
                      VF32 value, float* HWY_RESTRICT sum) const {
    if (Pass::kNumber > 1 || d == 0 || d == Pass::kOuts - 1)
      value = hn::Add(value, hn::Load(F32(), sum));
    if constexpr (Pass::kIsLast)
      write<Pass>(tile, d, i, j, value);
    else
      hn::Store(value, F32(), sum);
  }

  /// A^T m A of the vectors point(i), 36 or 25; store(row, column, value) takes the 4 x 4.
  template <class Pass, class Point, class Store>
  static HWY_INLINE void inverse(const Point& point, const Store& store) {
    using TapsH = typename Pass::TapsH;
    using TapsW = typename Pass::TapsW;
    VF32 half[TapsH::kIns][kOut];
    for (std::int64_t i = 0; i < TapsH::kIns; ++i) {
      VF32 m[TapsW::kIns];
      for (std::int64_t j = 0; j < TapsW::kIns; ++j) m[j] = point(i * Pass::kPoints.in() + j);
      transform_output<TapsW>(m, half[i]);
    }
    for (std::int64_t j = 0; j < kOut; ++j) {
      VF32 m[TapsH::kIns], column[kOut];
      for (std::int64_t i = 0; i < TapsH::kIns; ++i) m[i] = half[i][j];
      transform_output<TapsH>(m, column);
      for (std::int64_t i = 0; i < kOut; ++i) store(i, j, column[i]);
    }
  }

  const Problem& p_;
  const Blocking& b_;
  const float* bias_;
  bool accumulate_, passes_caches_;
};

/// What is done where the walk has transformed the planes of x.
template <class T>
class ForwardWork {
 public:
  using ForwardWalk = Walk<T, ForwardWork>;
  static constexpr bool kHasPhases = true;

  ForwardWork(const Problem& p, const Blocking& blocking, const float* weights, float* y_points,
              float* sums, const float* bias, bool accumulate)
      : p_(p),
        b_(blocking),
        weights_(weights),
        y_points_(y_points),
        sums_(sums),
        output_(p, blocking, bias, accumulate) {}

  void finish() const { output_.finish(); }

  template <class Pass>
  void run(Pass, const Part& part, const Part* next, const ForwardWalk& walk) const {
    const std::int64_t tiles = part.block.tiles(), runs = b_.joins_layers ? 1 : part.count;
    const std::int64_t rows = b_.joins_layers ? part.count * tiles : tiles;
    const std::int64_t outputs = p_.k_lines() * kLine;
    Prefetcher prefetcher;
    if (next != nullptr) prefetcher.add(walk.inputs_of(*next));
    prefetcher.spread_over(Pass::kProducts * blocks_of(outputs, 2 * kLanes) * runs *
                           blocks_of(rows, kMostRows));
    for (std::int64_t point = 0; point < p_.points.in_pass(); ++point) {
      if (!Pass::has_product(point)) continue;
      for (std::int64_t k = 0; k < outputs; k += 2 * kLanes)
        for (std::int64_t i = 0; i < runs; ++i) {
          const Product product = product_of<Pass>(walk, part, point, k, i);
          float* out =
              y_points_ + k / kLine * b_.y.line + i * tiles * b_.y.tile + point * kLine + k % kLine;
          multiply_rows<Pass>(product, k + kLanes < outputs, rows, out, prefetcher);
        }
    }
    for (std::int64_t i = 0; i < part.count; ++i) {
      const std::int64_t plane = (part.first + i) * Pass::kOuts;
      output_.template run<Pass>(
          y_points_ + i * tiles * b_.y.tile, sums_ + i * tiles * sums_of_tile(p_), part.block,
          std::min(Pass::kOuts, p_.axes[0].narrow - plane), p_.y_plane<T>(part.sample, plane));
    }
  }

 private:
  /// The factors of the tiles from layer `layer` of the part on, for outputs from k on.
  template <class Pass>
  [[nodiscard]] Product product_of(const ForwardWalk& walk, const Part& part, std::int64_t point,
                                   std::int64_t k, std::int64_t layer) const {
    Product product;
    product.channels = p_.c;
    product.x_line = b_.x.line;
    const std::int64_t weight = weight_point(p_.taps(), p_.c), line = p_.points.count() * weight;
    product.weight_vector = kLanes == kLine ? line : kLanes;
    product.out_vector = kLanes == kLine ? b_.y.line : kLanes;
    const float* weights =
        weights_ + k / kLine * line + (Pass::kFirstPoint + point) * weight + k % kLine;
    for (std::int64_t t = 0; t < p_.taps(); ++t) {
      const float* x = b_.joins_layers ? walk.joined_factor(part, t) : walk.factor(part, layer, t);
      if (x == nullptr) continue;
      product.x[product.taps] = x + point * kLine;
      product.weights[product.taps++] = weights + t * p_.c * kLine;
    }
    return product;
  }

  template <class Pass>
  void multiply_rows(const Product& product, bool is_pair, std::int64_t rows, float* out,
                     Prefetcher& prefetcher) const {
    const bool is_streamed = product.taps * product.channels >= kStreamedTerms;
    const MultiplyTable& table = multiply_table<Pass::kPoints.tile_floats()>(is_pair, is_streamed);
    const std::int64_t groups = blocks_of(rows, kMostRows);
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t lo = rows * g / groups, hi = rows * (g + 1) / groups;
      prefetcher.advance();
      table[static_cast<std::size_t>(hi - lo - 1)](product, lo, out + lo * b_.y.tile);
    }
  }

  const Problem& p_;
  const Blocking& b_;
  const float* weights_;
  float *y_points_, *sums_;
  OutputTransform<T> output_;
};

/// No window of the tile meets any input.
template <class T>
void write_bias(const Problem& p, const float* bias) {
  for (std::int64_t n = 0; n < p.n; ++n)
    for (std::int64_t d = 0; d < p.axes[0].narrow; ++d)
      for (std::int64_t h = 0; h < p.y_height; ++h)
        for (std::int64_t w = 0; w < p.y_width; ++w) {
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
  const Blocking blocking = conv_blocking(p);
  auto* x_points = reinterpret_cast<float*>(args.workspace.data());
  float* y_points = x_points + blocking.x.floats;
  float* window = y_points + blocking.y.floats;
  float* sums = window + blocking.window_floats;
  ForwardWork<T> work(p, blocking, call.weights, y_points, sums, call.bias, args.accumulate);
  Walk<T, ForwardWork<T>>(p, blocking, x_points, window).run(work);
  work.finish();
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
  const Blocking b = conv_blocking(p);
  return static_cast<std::size_t>(b.x.floats + b.y.floats + b.window_floats +
                                  b.layers * b.tiles() * sums_of_tile(p)) *
         sizeof(float);
}

Kernel kernel_of(const char* op) {
  return {.op = op,
          .variant = "f4",
          .run = HPDLF_SIMD_KERNEL(WinogradConv),
          .supports = supports,
          .workspace = workspace};
}

}  // namespace

Kernel conv_kernel(bool normalized) {
  return kernel_of(normalized ? "NormalizedWinogradConv" : "WinogradConv");
}
Kernel grad_input_kernel() { return kernel_of("WinogradConvGradInput"); }

}  // namespace hpdlf::codelets::winograd
#endif
