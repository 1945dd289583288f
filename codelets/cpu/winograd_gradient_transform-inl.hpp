// The transform of dy of Winograd's weight gradient. Compiled once a Highway target.
// SPDX-License-Identifier: Apache-2.0
#if defined(HPDLF_CODELETS_CPU_WINOGRAD_GRADIENT_TRANSFORM_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HPDLF_CODELETS_CPU_WINOGRAD_GRADIENT_TRANSFORM_INL_HPP
#undef HPDLF_CODELETS_CPU_WINOGRAD_GRADIENT_TRANSFORM_INL_HPP
#else
#define HPDLF_CODELETS_CPU_WINOGRAD_GRADIENT_TRANSFORM_INL_HPP
#endif

#include "codelets/cpu/winograd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets::winograd {
namespace HWY_NAMESPACE {

/// A dY A^T of a block's layer, and the same along D where that is transformed.
template <class T>
class GradientTransform {
 public:
  GradientTransform(const Problem& p, const Blocking& blocking) : p_(p), b_(blocking) {}

  /// @param planes of dy in the layer
  template <class Pass>
  void run(const T* plane, const TileBlock& block, std::int64_t planes, float* out) const {
    for_each_tile<Pass>(
        p_, block, planes, plane,
        [&](std::int64_t number, const T* tile, const TileExtent& extent) HWY_ATTR {
          for (std::int64_t line = 0; line < p_.k_lines(); ++line)
            for_each_vector_of_line(
                line, p_.k, [&](auto access, std::int64_t k, std::int64_t v) HWY_ATTR {
                  float* to = out + number * kLine + line * b_.y.line + v;
                  if constexpr (Pass::kOuts > 1)
                    transform_pass<Pass>(access, tile + k, extent, to);
                  else
                    transform_tile(access, tile + k, p_.y_strides[1], p_.y_strides[2], extent, to);
                });
        });
  }

 private:
  template <class Pass, class Access>
  HWY_INLINE void transform_pass(const Access& access, const T* dy, const TileExtent& extent,
                                 float* out) const {
    HWY_ALIGN float points[kPair][kOut * kOut * kLanes];
    for (std::int64_t i = 0; i < extent.height; ++i)
      for (std::int64_t j = 0; j < extent.width; ++j) {
        VF32 m[kPair];
        const T* from = dy + i * p_.y_strides[1] + j * p_.y_strides[2];
        transform_output_gradient_pair<Pass>(
            [&](std::int64_t d) HWY_ATTR {
              return d < extent.planes ? access.load(from + d * p_.y_strides[0]) : hn::Zero(F32());
            },
            m);
        for (std::int64_t d = 0; d < kPair; ++d)
          hn::Store(m[d], F32(), points[d] + (i * kOut + j) * kLanes);
      }
    for (std::int64_t d = 0; d < kPair; ++d)
      transform_tile(Whole{}, points[d], kOut * kLanes, kLanes, extent,
                     out + d * kPlane * b_.y.point);
  }

  template <class Access, class Element>
  HWY_INLINE void transform_tile(const Access& access, const Element* dy, std::int64_t row,
                                 std::int64_t column, const TileExtent& extent,
                                 float* HWY_RESTRICT out) const {
    const std::int64_t point = b_.y.point;
    VF32 half[kIn][kOut];
    for (std::int64_t j = 0; j < kOut; ++j) {
      VF32 y[kOut], m[kIn];
      for (std::int64_t i = 0; i < kOut; ++i)
        y[i] = i < extent.height && j < extent.width ? access.load(dy + i * row + j * column)
                                                     : hn::Zero(F32());
      transform_output_gradient(y, m);
      for (std::int64_t i = 0; i < kIn; ++i) half[i][j] = m[i];
    }
    for (std::int64_t i = 0; i < kIn; ++i) {
      VF32 m[kIn];
      transform_output_gradient(half[i], m);
      for (std::int64_t j = 0; j < kIn; ++j) hn::Store(m[j], F32(), out + (i * kIn + j) * point);
    }
  }

  const Problem& p_;
  const Blocking& b_;
};

}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets::winograd
HWY_AFTER_NAMESPACE();

#endif
