// Which elements a resized tensor is made of: separable taps and weights, per ONNX Resize-13.
// No target-specific code here.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/attrs.hpp"
#include "base/tensor_view.hpp"

namespace hpdlf::codelets {

class ResizeTaps {
 public:
  struct Tap {
    std::int64_t offset;  ///< elements, in the view of the tensor that is resized
    float weight;
  };

  /// @param fine  the tensor that is resized (x, dx); @param resized  the result (y, dy). Resized dimensions are whole in both.
  ResizeTaps(const TensorView& fine, const TensorView& resized, const Attrs& attrs)
      : resized_(resized) {
    for (int i = 0; i < resized.rank(); ++i) dims_.push_back(taps_of_dim(fine, resized, i, attrs));
    const int last = resized.rank() - 1;
    const auto keeps = [&](std::size_t i) {
      return dims_[static_cast<std::size_t>(last)][i].count == 1 &&
             dims_[static_cast<std::size_t>(last)][i].offset[0] == static_cast<std::int64_t>(i);
    };
    bool is_row =
        last >= 0 && fine.extents[last] == resized.extents[last] && resized.strides[last] == 1;
    for (std::int64_t i = 0; is_row && i < resized.extents[last]; ++i)
      is_row = keeps(static_cast<std::size_t>(i));
    if (is_row) {
      row_length_ = resized.extents[last];
      dims_.pop_back();
    }
  }

  [[nodiscard]] std::int64_t row_length() const { return row_length_; }

  /// f(offset in the resized view, taps) for every row, in row-major order.
  template <class F>
  void for_each_row(F&& f) const {
    std::vector<Tap> taps = {{0, 1.0F}};
    walk(0, 0, taps, f);
  }

 private:
  /// Taps of one index of one dimension.
  struct DimTaps {
    int count = 1;
    std::array<std::int64_t, 2> offset{0, 0};
    std::array<double, 2> weight{1, 0};
  };

  /// Elements of the fine tensor to so many of the resized one: as the scales say, or exactly those of both tensors. A scale that is a
  /// quotient would be rounded, and positions that are whole numbers would fall short of them.
  struct Ratio {
    double fine, resized;
  };

  /// Position in the fine tensor of index `i` of the resized one.
  static double source_position(std::int64_t i, std::int64_t from, std::int64_t to,
                                const Ratio& ratio, const std::string& mode) {
    const auto at = static_cast<double>(i);
    if (mode == "asymmetric") return at * ratio.fine / ratio.resized;
    if (mode == "align_corners")
      return to == 1 ? 0 : at * static_cast<double>(from - 1) / static_cast<double>(to - 1);
    if (mode == "pytorch_half_pixel" && to == 1) return 0;
    return (at + 0.5) * ratio.fine / ratio.resized - 0.5;
  }

  static double rounded(double position, const std::string& mode) {
    if (mode == "floor") return std::floor(position);
    if (mode == "ceil") return std::ceil(position);
    if (mode == "round_prefer_ceil") return std::floor(position + 0.5);
    return std::ceil(position - 0.5);
  }

  static std::vector<DimTaps> taps_of_dim(const TensorView& fine, const TensorView& resized,
                                          int dim, const Attrs& attrs) {
    const std::int64_t from = fine.whole[dim];
    const std::int64_t to = resized.whole[dim];
    const auto& scales = attrs.reals("scales");
    const Ratio ratio = scales.empty() ? Ratio{static_cast<double>(from), static_cast<double>(to)}
                                       : Ratio{1, scales[static_cast<std::size_t>(dim)]};
    const bool keeps = from == to && ratio.fine == ratio.resized;  // this dimension may be cut
    const bool is_linear = attrs.string("mode") == "linear";
    const auto clamped = [&](double p) {
      return std::clamp(static_cast<std::int64_t>(p), std::int64_t{0}, from - 1);
    };
    std::vector<DimTaps> taps;
    for (std::int64_t i = 0; i < resized.extents[dim]; ++i) {
      DimTaps t;
      if (keeps) {
        t.offset[0] = i;
      } else {
        const double p =
            source_position(i, from, to, ratio, attrs.string("coordinate_transformation_mode"));
        const double low = is_linear ? std::floor(p) : rounded(p, attrs.string("nearest_mode"));
        t.offset = {clamped(low), clamped(low + 1)};
        t.count = is_linear && p > low ? 2 : 1;
        if (t.count == 2) t.weight = {low + 1 - p, p - low};
      }
      for (auto& offset : t.offset) offset *= fine.strides[dim];
      taps.push_back(t);
    }
    return taps;
  }

  template <class F>
  void walk(std::size_t dim, std::int64_t at, const std::vector<Tap>& taps, F&& f) const {
    if (dim == dims_.size()) {
      f(at, std::span<const Tap>(taps));
      return;
    }
    std::vector<Tap> next;
    for (std::size_t i = 0; i < dims_[dim].size(); ++i) {
      const DimTaps& t = dims_[dim][i];
      next.clear();
      for (const Tap& tap : taps)
        for (int k = 0; k < t.count; ++k) {
          const auto side = static_cast<std::size_t>(k);
          next.push_back(
              {tap.offset + t.offset[side], static_cast<float>(tap.weight * t.weight[side])});
        }
      walk(dim + 1, at + static_cast<std::int64_t>(i) * resized_.strides[static_cast<int>(dim)],
           next, f);
    }
  }

  TensorView resized_;
  std::vector<std::vector<DimTaps>> dims_;
  std::int64_t row_length_ = 1;
};

}  // namespace hpdlf::codelets
