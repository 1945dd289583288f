// The inverse transform of Winograd's weight gradient. Compiled once a Highway target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_WINOGRAD_GRADIENT_OUTPUT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_WINOGRAD_GRADIENT_OUTPUT_INL_HPP
#undef HPDLF_CODELETS_CPU_WINOGRAD_GRADIENT_OUTPUT_INL_HPP
#else
#define HPDLF_CODELETS_CPU_WINOGRAD_GRADIENT_OUTPUT_INL_HPP
#endif

#include "codelets/cpu/winograd-inl.hpp"
#include "codelets/cpu/winograd_grad_weight.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {

/// G^T sums G of 16 channels of dy, to dw or added to it.
class GradientOutput {
 public:
  GradientOutput(const Problem& p, const Blocking& blocking, const TensorView& dw)
      : p_(p), b_(blocking), dw_(dw) {}

  /// What the sums of a pass bring; later passes add to earlier ones, and all to what is there with `add`.
  template <class Pass>
  void write_pass(std::int64_t line, const float* sums, bool add) const {
    for_each_vector(line, sums, [=, this](const auto& taps) HWY_ATTR {
      if constexpr (Pass::kOuts > 1)
        write_pair<Pass>(taps, add);
      else
        write_direct(taps, add);
    });
  }
  /// From the sums of all passes: dw is touched once.
  void write_all(std::int64_t line, const float* sums, bool add) const {
    for_each_vector(line, sums, [=, this](const auto& taps) HWY_ATTR {
      if (p_.points.depth == 4)
        write_from_pairs<4>(taps, add);
      else if (p_.points.depth == 2)
        write_from_pairs<2>(taps, add);
      else
        write_direct(taps, add);
    });
  }

 private:
  /// A vector of channels: the sums of its points, its taps in dw, and how far apart they lie.
  template <class Access>
  struct Taps {
    Access access;
    const float* sums;
    std::int64_t point;
    float* dw;
    std::int64_t r_stride, s_stride, t_stride;

    HWY_INLINE void write(std::int64_t r, std::int64_t s, std::int64_t t, VF32 value,
                          bool add) const {
      float* to = dw + r * r_stride + s * s_stride + t * t_stride;
      access.store(add ? hn::Add(access.load(to), value) : value, to);
    }
  };

  /// write(taps) for 16 channels of dy, whose sums begin at `sums`.
  template <class Write>
  void for_each_vector(std::int64_t line, const float* sums, const Write& write) const {
    const int last = dw_.rank() - 1;  // [k, (r,) s, t, c]
    const std::int64_t row = p_.c_lines() * kLine;
    const std::int64_t point = sums_of_point(p_, b_), r_stride = last == 4 ? dw_.strides[1] : 0;
    for (std::int64_t k = line * kLine; k < std::min(p_.k, (line + 1) * kLine); ++k)
      for (std::int64_t c_line = 0; c_line < p_.c_lines(); ++c_line)
        for_each_vector_of_line(
            c_line, p_.c, [&](auto access, std::int64_t c, std::int64_t) HWY_ATTR {
              if (access.count() == 0) return;
              write(Taps<decltype(access)>{access, sums + k % kLine * row + c, point,
                                           dw_.as<float>() + k * dw_.strides[0] + c, r_stride,
                                           dw_.strides[last - 2], dw_.strides[last - 1]});
            });
  }

  // Lambdas take copies of what they need: what they refer to would be read again after every store.

  template <class Access>
  HWY_INLINE void write_direct(const Taps<Access>& taps, bool add) const {
    const std::int64_t point = taps.point;
    for (std::int64_t r = 0; r < p_.taps(); ++r) {
      const float* HWY_RESTRICT sums = taps.sums + r * sums_of_tap(p_, b_);
      inverse([=](std::int64_t i) HWY_ATTR { return hn::Load(F32(), sums + i * point); },
              [=](std::int64_t s, std::int64_t t, VF32 value)
                  HWY_ATTR { taps.write(r, s, t, value, add); });
    }
  }

  /// Of the sums of all passes.
  template <std::int64_t kDepth, class Access>
  static HWY_INLINE void write_from_pairs(const Taps<Access>& taps, bool add) {
    HWY_ALIGN float half[kTaps][kPlane * kLanes];
    for (std::int64_t i = 0; i < kPlane; ++i) {
      VF32 u[kIn], g[kTaps];
      for (std::int64_t d = 0; d < inputs_of(kDepth); ++d)
        u[d] = hn::Load(F32(), taps.sums + (d * kPlane + i) * taps.point);
      transform_weight_depth_gradient<kDepth>(u, g);
      for (std::int64_t r = 0; r < kTaps; ++r) hn::Store(g[r], F32(), half[r] + i * kLanes);
    }
    for (std::int64_t r = 0; r < kTaps; ++r) {
      const float* HWY_RESTRICT from = half[r];
      inverse([=](std::int64_t i) HWY_ATTR { return hn::Load(F32(), from + i * kLanes); },
              [=](std::int64_t s, std::int64_t t, VF32 value)
                  HWY_ATTR { taps.write(r, s, t, value, add); });
    }
  }

  /// Of those of a pass's two points along D: 0 reaches the first tap and inf the last, p and -p reach the outer ones with their sum and the
  /// middle one with their difference.
  template <class Pass, class Access>
  static HWY_INLINE void write_pair(const Taps<Access>& taps, bool add) {
    const std::int64_t point = taps.point;
    const float* HWY_RESTRICT sums = taps.sums;
    const float* HWY_RESTRICT others = sums + kPlane * point;
    const auto load = [point](const float* from, std::int64_t i)
                          HWY_ATTR { return hn::Load(F32(), from + i * point); };
    if constexpr (Pass::kIsFirst) {
      inverse([=](std::int64_t i) HWY_ATTR { return load(sums, i); },
              [=](std::int64_t s, std::int64_t t, VF32 value) HWY_ATTR {
                taps.write(0, s, t, Pass::kOuts == 2 ? hn::Neg(value) : value, add);
              });
      inverse([=](std::int64_t i) HWY_ATTR { return load(others, i); },
              [=](std::int64_t s, std::int64_t t, VF32 value)
                  HWY_ATTR { taps.write(kTaps - 1, s, t, value, add); });
    } else {
      constexpr float kP = Pass::kPoint, kWeight = Pass::kWeight;
      inverse([=](std::int64_t i) HWY_ATTR { return hn::Add(load(sums, i), load(others, i)); },
              [=](std::int64_t s, std::int64_t t, VF32 value) HWY_ATTR {
                value = hn::Mul(constant(kWeight), value);
                taps.write(0, s, t, value, true);
                taps.write(2, s, t, hn::Mul(constant(kP * kP), value), true);
              });
      inverse([=](std::int64_t i) HWY_ATTR { return hn::Sub(load(sums, i), load(others, i)); },
              [=](std::int64_t s, std::int64_t t, VF32 value) HWY_ATTR {
                taps.write(1, s, t, hn::Mul(constant(kP * kWeight), value),
                           add || Pass::kNumber > 1);
              });
    }
  }

  /// G^T u G of the 36 vectors point(i); store(row, column, value) takes the 3 x 3.
  template <class Point, class Store>
  static HWY_INLINE void inverse(const Point& point, const Store& store) {
    VF32 half[kTaps][kIn];
    for (std::int64_t j = 0; j < kIn; ++j) {
      VF32 u[kIn], g[kTaps];
      for (std::int64_t i = 0; i < kIn; ++i) u[i] = point(i * kIn + j);
      transform_weight_gradient(u, g);
      for (std::int64_t s = 0; s < kTaps; ++s) half[s][j] = g[s];
    }
    for (std::int64_t s = 0; s < kTaps; ++s) {
      VF32 g[kTaps];
      transform_weight_gradient(half[s], g);
      for (std::int64_t t = 0; t < kTaps; ++t) store(s, t, g[t]);
    }
  }

  const Problem& p_;
  const Blocking& b_;
  const TensorView& dw_;
};

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#endif
