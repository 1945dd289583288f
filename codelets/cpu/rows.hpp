// Iteration over strided views of equal extents, one inner run after the other.
//
// Tiles carry margins in their outer dimensions, so a view is seldom dense as a whole; its trailing dimensions mostly are. Rows merges
// adjacent dimensions wherever every view allows it, so that kernels see few long runs and hold the only fast loop.
//
//   const auto rows = Rows::dense({&x, &y});                        // every run is dense in every view
//   rows.for_each([&](const std::int64_t* at) { relu(x_data + at[0], y_data + at[1], rows.length()); });
//
// No target-specific code here: kernels include it outside Highway's per-target part.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <vector>

#include "base/tensor_view.hpp"

namespace hpdlf::codelets {

class Rows {
 public:
  /// Runs along the innermost merged dimension, whose stride in each view may be anything (0: broadcast).
  explicit Rows(std::span<const TensorView* const> views) : Rows(views, false) {}
  explicit Rows(std::initializer_list<const TensorView*> views)
      : Rows(std::span(views.begin(), views.size()), false) {}

  /// Runs of stride 1 in every view; of length 1 if some view's innermost dimension is not dense.
  [[nodiscard]] static Rows dense(std::span<const TensorView* const> views) {
    return Rows(views, true);
  }
  [[nodiscard]] static Rows dense(std::initializer_list<const TensorView*> views) {
    return Rows(std::span(views.begin(), views.size()), true);
  }

  /// Elements of a run; the same for all. A multiple of the innermost extent (channels) if that is dense in every view.
  [[nodiscard]] std::int64_t length() const { return dims_.front().extent; }
  /// Stride within a run of view `i`, in elements.
  [[nodiscard]] std::int64_t stride(int i) const {
    return dims_.front().strides[static_cast<std::size_t>(i)];
  }
  /// Number of runs; 0 if the views are empty.
  [[nodiscard]] std::int64_t count() const {
    std::int64_t n = length() > 0 ? 1 : 0;
    for (std::size_t d = 1; d < dims_.size(); ++d) n *= dims_[d].extent;
    return n;
  }

  /// Calls f(at) for every run in row-major order; at[i] is the offset of the run in view i, in elements.
  template <class F>
  void for_each(F&& f) const {
    const std::size_t views = dims_.front().strides.size();
    std::vector<std::int64_t> at(views, 0);
    std::array<std::int64_t, kMaxRank + 2> index{};
    for (auto left = count(); left > 0; --left) {
      f(static_cast<const std::int64_t*>(at.data()));
      for (std::size_t d = 1; d < dims_.size();
           ++d) {  // odometer: the innermost outer dimension turns fastest
        const auto& dim = dims_[d];
        const bool carry = ++index[d] == dim.extent;
        const std::int64_t steps = carry ? 1 - dim.extent : 1;
        for (std::size_t v = 0; v < views; ++v) at[v] += steps * dim.strides[v];
        if (!carry) break;
        index[d] = 0;
      }
    }
  }

 private:
  struct Dim {
    std::int64_t extent = 1;
    std::vector<std::int64_t> strides;  // one a view
  };

  Rows(std::span<const TensorView* const> views, bool dense) {
    if (dense) dims_.push_back({1, std::vector<std::int64_t>(views.size(), 1)});
    const Extents& extents = views.front()->extents;
    for (const auto* view : views)
      HPDLF_ASSERT(view->extents == extents, "views of {} and {} are walked together",
                   to_string(extents), to_string(view->extents));
    for (int i = extents.rank() - 1; i >= 0; --i) {
      if (extents[i] == 1) continue;
      Dim dim{extents[i], {}};
      for (const auto* view : views) dim.strides.push_back(view->strides[i]);
      if (!dims_.empty() && continues(dims_.back(), dim))
        dims_.back().extent *= dim.extent;
      else
        dims_.push_back(std::move(dim));
    }
    if (dims_.empty()) dims_.push_back({1, std::vector<std::int64_t>(views.size(), 1)});
  }

  /// True if stepping `outer` once is stepping `inner` over its whole extent, in every view.
  static bool continues(const Dim& inner, const Dim& outer) {
    for (std::size_t v = 0; v < inner.strides.size(); ++v)
      if (outer.strides[v] != inner.strides[v] * inner.extent) return false;
    return true;
  }

  std::vector<Dim> dims_;  // innermost first
};

/// `view` without dimension `dim`, at `index` of it.
[[nodiscard]] inline TensorView at_index(const TensorView& view, int dim, std::int64_t index) {
  TensorView v = view;
  v.data = static_cast<std::byte*>(view.data) +
           index * view.strides[dim] * static_cast<std::int64_t>(size_of(view.dtype));
  v.extents = v.strides = v.origin = v.whole = {};
  for (int i = 0; i < view.rank(); ++i) {
    if (i == dim) continue;
    v.extents.push_back(view.extents[i]);
    v.strides.push_back(view.strides[i]);
    v.origin.push_back(view.origin[i]);
    v.whole.push_back(view.whole[i]);
  }
  return v;
}

/// Zeroes every element of `view`, whatever its dtype.
inline void fill_zero(const TensorView& view) {
  const auto rows = Rows::dense({&view});
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  rows.for_each([&](const std::int64_t* at) {
    std::memset(static_cast<std::byte*>(view.data) + at[0] * size, 0,
                static_cast<std::size_t>(rows.length() * size));
  });
}

}  // namespace hpdlf::codelets
