// Weights of a convolution, transformed for winograd_conv.cc: G g G^T of every pair of channels and tap along D, or along D too; those of the
// phases of dx one after the other.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/winograd_weights.cc"
#include "codelets/cpu/winograd.hpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/winograd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {
namespace {

/// One line of outputs of weights [k, (r,) s, t, c]. Of a convolution the outputs are k and the inputs c; `transposed`, for the gradient
/// by x, the other way round and every tap is mirrored.
class WeightLine {
 public:
  WeightLine(const TensorView& w, Points points, bool transposed)
      : w_(w),
        points_(points),
        output_dim_(transposed ? w.rank() - 1 : 0),
        input_dim_(transposed ? 0 : w.rank() - 1),
        transposed_(transposed),
        depth_(w.rank() == 5 ? w.extents[1] : 1) {}

  [[nodiscard]] std::int64_t outputs() const { return w_.extents[output_dim_]; }

  void write(std::int64_t line, float* out) const {
    const std::int64_t point = weight_point(points_.direct_taps(depth_), inputs());
    const bool streams = reinterpret_cast<std::uintptr_t>(out) % (kLine * sizeof(float)) == 0;
    for (std::int64_t i = 0; i < inputs(); ++i)
      if (points_.has_pairs())
        write_input(line, i, out, point, streams);
      else
        write_direct_input(line, i, out, point, streams);
    for (std::int64_t p = 1; p <= points_.count(); ++p)
      std::fill_n(out + p * point - kLine, kLine, 0.0F);
  }

 private:
  static constexpr std::int64_t kSquare = kTaps * kTaps * kLine;

  [[nodiscard]] std::int64_t inputs() const { return w_.extents[input_dim_]; }

  /// Input channel `i`, transformed along D too.
  void write_input(std::int64_t line, std::int64_t i, float* out, std::int64_t point,
                   bool streams) const {
    HWY_ALIGN float g[kIn * kSquare];
    for (std::int64_t r = 0; r < kTaps; ++r) gather(line, r, i, g + r * kSquare);
    if (points_.depth == 2)
      transform_depth<2>(g);
    else
      transform_depth<4>(g);
    for (std::int64_t r = 0; r < inputs_of(points_.depth); ++r)
      transform<Pass<1, 0>>(g + r * kSquare, out + r * kPlane * point + i * kLine, point, streams);
  }

  /// Input channel `i` where D is direct.
  void write_direct_input(std::int64_t line, std::int64_t i, float* out, std::int64_t point,
                          bool streams) const {
    HWY_ALIGN float g[kSquare];
    for (std::int64_t r = 0; r < depth_; ++r) {
      gather(line, r, i, g);
      float* to = out + (r * inputs() + i) * kLine;
      if (points_.stride == 1)
        transform<Pass<1, 0>>(g, to, point, streams);
      else
        for_each_phase([&](auto pass) HWY_ATTR {
          transform<decltype(pass)>(g, to + pass.kFirstPoint * point, point, streams);
        });
    }
  }

  /// The 3 x 3 taps of one input channel, for 16 outputs each; outputs beyond the last are 0.
  void gather(std::int64_t line, std::int64_t r, std::int64_t input, float* g) const {
    const int last = w_.rank() - 1;
    const std::int64_t first = line * kLine;
    const std::int64_t count = std::min(kLine, outputs() - first), step = w_.strides[output_dim_];
    const float* w = w_.as<float>() + first * step + input * w_.strides[input_dim_];
    if (last == 4) w += mirrored(r, depth_) * w_.strides[1];
    for (std::int64_t s = 0; s < kTaps; ++s)
      for (std::int64_t t = 0; t < kTaps; ++t, g += kLine) {
        const float* tap = w + mirrored(s, kTaps) * w_.strides[last - 2] +
                           mirrored(t, kTaps) * w_.strides[last - 1];
        for (std::int64_t o = 0; o < count; ++o) g[o] = tap[o * step];
        std::fill(g + count, g + kLine, 0.0F);
      }
  }

  [[nodiscard]] std::int64_t mirrored(std::int64_t tap, std::int64_t taps) const {
    return transposed_ ? taps - 1 - tap : tap;
  }

  /// Three times 3 x 3 taps to kDepth + 2 times, in the order of passes.
  template <std::int64_t kDepth>
  static void transform_depth(float* g) {
    for (std::int64_t at = 0; at < kSquare; at += kLanes) {
      VF32 w[kTaps], u[kIn];
      for (std::int64_t r = 0; r < kTaps; ++r) w[r] = hn::Load(F32(), g + r * kSquare + at);
      transform_weight_depth<kDepth>(w, u);
      for (std::int64_t i = 0; i < inputs_of(kDepth); ++i)
        hn::Store(u[i], F32(), g + i * kSquare + at);
    }
  }

  /// 16 outputs of a plane or a phase of it; points without a product are 0. `streams`: past the caches, as the reader comes much later and
  /// lines written in turn would each be fetched first. Then a line must be written at once: the processor joins the parts of a few lines only.
  template <class Pass>
  static HWY_INLINE void transform(const float* g, float* out, std::int64_t point, bool streams) {
    using TapsH = typename Pass::TapsH;
    using TapsW = typename Pass::TapsW;
    constexpr std::int64_t kParts = kLine / kLanes, kRow = Pass::kPoints.in();
    const F32 d;
    VF32 half[kParts][TapsW::kCount][kRow];
    for (std::int64_t v = 0; v < kParts; ++v)
      for (std::int64_t t = 0; t < TapsW::kCount; ++t) {
        VF32 w[TapsH::kCount];
        for (std::int64_t s = 0; s < TapsH::kCount; ++s)
          w[s] = hn::Load(d, g + (TapsH::tap(s) * kTaps + TapsW::tap(t)) * kLine + v * kLanes);
        transform_weight<TapsH>(w, half[v][t]);
        for (std::int64_t i = TapsH::kIns; i < kRow; ++i) half[v][t][i] = hn::Zero(d);
      }
    for (std::int64_t i = 0; i < kRow; ++i) {
      VF32 u[kParts][kRow];
      for (std::int64_t v = 0; v < kParts; ++v) {
        VF32 w[TapsW::kCount];
        for (std::int64_t t = 0; t < TapsW::kCount; ++t) w[t] = half[v][t][i];
        transform_weight<TapsW>(w, u[v]);
        for (std::int64_t j = TapsW::kIns; j < kRow; ++j) u[v][j] = hn::Zero(d);
      }
      for (std::int64_t j = 0; j < kRow; ++j)
        for (std::int64_t v = 0; v < kParts; ++v) {
          float* to = out + (i * kRow + j) * point + v * kLanes;
          if (streams)
            hn::Stream(u[v][j], d, to);
          else
            hn::StoreU(u[v][j], d, to);
        }
    }
  }

  const TensorView& w_;
  Points points_;
  int output_dim_, input_dim_;
  bool transposed_;
  std::int64_t depth_;  // taps along D
};

}  // namespace

void WinogradWeights(const KernelArgs& args) {
  const WeightLine weights(
      args.in(0),
      {.depth = args.attrs->integer("tile_depth"), .stride = args.attrs->integer("stride")},
      args.attrs->integer("transposed") != 0);
  const TensorView& u = args.out(0);
  for (std::int64_t line = 0; line < u.extents[0]; ++line)
    weights.write(line, u.as<float>() + line * u.strides[0]);
  hwy::FlushStream();  // before another core reads
}

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets::winograd {
namespace {

HWY_EXPORT(WinogradWeights);

}  // namespace

Kernel weights_kernel() {
  return {.op = "WinogradWeights",
          .variant = "f4",
          .run = HPDLF_SIMD_KERNEL(WinogradWeights),
          .supports = [](const KernelArgs& args) {
            return args.in(0).dtype == DType::f32 && args.out(0).strides.back() == 1;
          }};
}

}  // namespace hpdlf::codelets::winograd
#endif
