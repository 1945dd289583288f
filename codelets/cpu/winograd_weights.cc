// Weights of a convolution, transformed for winograd_conv.cc: G g G^T of every pair of channels and tap along D, or along D too.
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
    const std::int64_t inputs = w_.extents[input_dim_], taps = points_.direct_taps(depth_);
    const std::int64_t point = weight_point(taps, inputs);
    const bool has_pairs = points_.has_pairs();
    const bool streams = reinterpret_cast<std::uintptr_t>(out) % (kLine * sizeof(float)) == 0;
    HWY_ALIGN float g[kIn * kTaps * kTaps * kLine];
    for (std::int64_t i = 0; i < inputs; ++i) {
      if (has_pairs) {
        for (std::int64_t r = 0; r < kTaps; ++r) gather(line, r, i, g + r * kTaps * kTaps * kLine);
        if (points_.depth == 2)
          transform_depth<2>(g);
        else
          transform_depth<4>(g);
      }
      for (std::int64_t r = 0; r < (has_pairs ? inputs_of(points_.depth) : taps); ++r) {
        float* from = has_pairs ? g + r * kTaps * kTaps * kLine : g;
        float* to = out + (has_pairs ? r * kPlane * point + i * kLine : (r * inputs + i) * kLine);
        if (!has_pairs) gather(line, r, i, g);
        transform(from, to, point, streams);
      }
    }
    for (std::int64_t p = 1; p <= points_.count(); ++p)
      std::fill_n(out + p * point - kLine, kLine, 0.0F);
  }

 private:
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
    constexpr std::int64_t kStep = kTaps * kTaps * kLine;
    for (std::int64_t at = 0; at < kStep; at += kLanes) {
      VF32 w[kTaps], u[kIn];
      for (std::int64_t r = 0; r < kTaps; ++r) w[r] = hn::Load(F32(), g + r * kStep + at);
      transform_weight_depth<kDepth>(w, u);
      for (std::int64_t i = 0; i < inputs_of(kDepth); ++i)
        hn::Store(u[i], F32(), g + i * kStep + at);
    }
  }

  /// 16 outputs. `streams`: past the caches, as the reader comes much later and lines written in turn would each be fetched first. Then a
  /// line must be written at once: the processor joins the parts of a few lines only.
  static HWY_INLINE void transform(const float* g, float* out, std::int64_t point, bool streams) {
    constexpr std::int64_t kParts = kLine / kLanes;
    const F32 d;
    VF32 half[kParts][kTaps][kIn];
    for (std::int64_t v = 0; v < kParts; ++v)
      for (std::int64_t t = 0; t < kTaps; ++t) {
        VF32 w[kTaps];
        for (std::int64_t s = 0; s < kTaps; ++s)
          w[s] = hn::Load(d, g + (s * kTaps + t) * kLine + v * kLanes);
        transform_weight(w, half[v][t]);
      }
    for (std::int64_t i = 0; i < kIn; ++i) {
      VF32 u[kParts][kIn];
      for (std::int64_t v = 0; v < kParts; ++v) {
        VF32 w[kTaps];
        for (std::int64_t t = 0; t < kTaps; ++t) w[t] = half[v][t][i];
        transform_weight(w, u[v]);
      }
      for (std::int64_t j = 0; j < kIn; ++j)
        for (std::int64_t v = 0; v < kParts; ++v) {
          float* to = out + (i * kIn + j) * point + v * kLanes;
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
  const WeightLine weights(args.in(0), points_from(*args.attrs),
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
