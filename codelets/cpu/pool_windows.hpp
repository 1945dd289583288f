// Walks the windows of a pooling over tiles: which elements of the fine tensor each element of the pooled (coarse) one stands for.
//
// Knows the whole tensors only through the views' `origin` and `whole`: a tap outside the whole tensor is padding, one outside a view
// belongs to another tile. No target-specific code here.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor_view.hpp"
#include "base/window.hpp"

namespace hpdlf::codelets {

/// One element of a window: its offset, in elements, in up to two views of the fine tensor; kOutside where a view does not hold it.
struct PoolTap {
  static constexpr std::int64_t kOutside = -1;
  std::array<std::int64_t, 2> offset{kOutside, kOutside};
};

class PoolWindows {
 public:
  /// @param coarse  view of the pooled tensor; @param fine  one or two views of the other tensor, with the same samples and channels.
  PoolWindows(const TensorView& coarse, std::initializer_list<const TensorView*> fine,
              const Attrs& attrs)
      : coarse_(normalized(coarse)),
        windows_(normalized(windows_from(attrs, coarse.rank() - 2), coarse.rank() - 2)) {
    for (const auto* view : fine) {
      HPDLF_ASSERT(view->strides.back() == 1 || view->extents.back() == 1,
                   "channels of {} are not dense", to_string(view->extents));
      fine_.push_back(normalized(*view));
    }
  }

  [[nodiscard]] std::int64_t taps() const {
    return windows_[0].kernel * windows_[1].kernel * windows_[2].kernel;
  }

  /// f(offset in coarse, taps inside the tensor) for every position of the coarse view, in row-major order.
  template <class F>
  void for_each(F&& f) const {
    std::vector<PoolTap> taps;
    taps.reserve(static_cast<std::size_t>(this->taps()));
    for (std::int64_t n = 0; n < coarse_.samples; ++n)
      for (std::int64_t d = 0; d < coarse_.extent[0]; ++d)
        for (std::int64_t h = 0; h < coarse_.extent[1]; ++h)
          for (std::int64_t w = 0; w < coarse_.extent[2]; ++w) {
            const std::array<std::int64_t, 3> at{d, h, w};
            collect(n, at, taps);
            f(coarse_.offset(n, at), std::span<const PoolTap>(taps));
          }
  }

 private:
  /// A [N, spatial..., C] view as one of three spatial dimensions.
  struct Grid {
    std::int64_t samples = 1, sample_stride = 0;
    std::array<std::int64_t, 3> extent{1, 1, 1}, stride{0, 0, 0}, origin{0, 0, 0}, whole{1, 1, 1};

    [[nodiscard]] std::int64_t offset(std::int64_t n, const std::array<std::int64_t, 3>& at) const {
      return n * sample_stride + at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2];
    }
  };

  static Grid normalized(const TensorView& view) {
    Grid grid{.samples = view.extents[0], .sample_stride = view.strides[0]};
    const int spatial = view.rank() - 2;
    for (int i = 0; i < spatial; ++i) {
      const auto to = static_cast<std::size_t>(3 - spatial + i);
      grid.extent[to] = view.extents[i + 1];
      grid.stride[to] = view.strides[i + 1];
      grid.origin[to] = view.origin[i + 1];
      grid.whole[to] = view.whole[i + 1];
    }
    return grid;
  }
  static std::array<Window, 3> normalized(const Windows& windows, int spatial) {
    std::array<Window, 3> result{};
    for (int i = 0; i < spatial; ++i)
      result[static_cast<std::size_t>(3 - spatial + i)] = windows[static_cast<std::size_t>(i)];
    return result;
  }

  void collect(std::int64_t n, const std::array<std::int64_t, 3>& at,
               std::vector<PoolTap>& taps) const {
    taps.clear();
    std::array<std::int64_t, 3> first{}, index{};
    for (std::size_t i = 0; i < 3; ++i) first[i] = windows_[i].first(coarse_.origin[i] + at[i]);
    const auto inside = [&](std::size_t i, std::int64_t tap) {
      index[i] = first[i] + tap * windows_[i].dilation;
      return index[i] >= 0 && index[i] < fine_[0].whole[i];
    };
    for (std::int64_t a = 0; a < windows_[0].kernel; ++a) {
      if (!inside(0, a)) continue;
      for (std::int64_t b = 0; b < windows_[1].kernel; ++b) {
        if (!inside(1, b)) continue;
        for (std::int64_t c = 0; c < windows_[2].kernel; ++c)
          if (inside(2, c)) taps.push_back(tap_at(n, index));
      }
    }
  }

  [[nodiscard]] PoolTap tap_at(std::int64_t n, const std::array<std::int64_t, 3>& index) const {
    PoolTap tap;
    for (std::size_t v = 0; v < fine_.size(); ++v) {
      const Grid& grid = fine_[v];
      std::array<std::int64_t, 3> local{};
      bool inside = true;
      for (std::size_t i = 0; i < 3; ++i) {
        local[i] = index[i] - grid.origin[i];
        inside = inside && local[i] >= 0 && local[i] < grid.extent[i];
      }
      if (inside) tap.offset[v] = grid.offset(n, local);
    }
    return tap;
  }

  Grid coarse_;
  std::vector<Grid> fine_;
  std::array<Window, 3> windows_;
};

/// True if a gradient forms its sums in f32 and rounds them to dx: this is bf16, and several windows reach an element.
[[nodiscard]] inline bool sums_in_f32(const TensorView& dx, const Attrs& attrs) {
  const Windows windows = windows_from(attrs, dx.rank() - 2);
  return dx.dtype == DType::bf16 &&
         std::any_of(windows.begin(), windows.begin() + dx.rank() - 2,
                     [](const Window& window) { return window.reach() >= window.stride; });
}

}  // namespace hpdlf::codelets
