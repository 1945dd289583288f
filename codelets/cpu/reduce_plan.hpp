// How a reduction walks its operands: dense runs of [rows, kept] elements, and what is left around them.
//
//   x [n, d, h, w, c] reduced over d h w, dense:   kept = c, rows = d*h*w; around them n (kept)
//   x [n, d, h, w, c] reduced over c:              kept = 1, rows = c;     around them n, d, h, w (kept)
// No target-specific code here.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "base/axes.hpp"
#include "base/tensor_view.hpp"

namespace hpdlf::codelets {

/// `reduced` (axes gone or of extent 1) as a view of the extents of `full` that repeats along the reduced axes with stride 0.
[[nodiscard]] inline TensorView broadcast_over(const TensorView& reduced, const TensorView& full,
                                               const Attrs& attrs) {
  const AxisSet axes = axis_set(attrs.integers("axes"), full.rank());
  const bool keepdims = attrs.integer("keepdims") != 0;
  TensorView view = full;
  view.data = reduced.data;
  view.dtype = reduced.dtype;
  for (int i = 0, from = 0; i < full.rank(); ++i) {
    const bool is_reduced = axes[static_cast<std::size_t>(i)];
    view.strides[i] = is_reduced ? 0 : reduced.strides[from];
    if (!is_reduced || keepdims) ++from;
  }
  return view;
}

class ReducePlan {
 public:
  /// A run of so many kept outputs is long enough by itself; accumulators for all of them would leave L1.
  static constexpr std::int64_t kLongRun = 2048;

  ReducePlan(const TensorView& x, const TensorView& y, const Attrs& attrs) {
    const AxisSet axes = axis_set(attrs.integers("axes"), x.rank());
    const TensorView out = broadcast_over(y, x, attrs);
    std::int64_t run = 1;  // elements in the dense run so far
    bool in_run = true, seen_reduced = false;
    for (int i = x.rank() - 1; i >= 0; --i) {
      const std::int64_t extent = x.extents[i];
      if (extent == 1) continue;
      const bool is_reduced = axes[static_cast<std::size_t>(i)];
      in_run = in_run && x.strides[i] == run &&
               (is_reduced ? kept_ < kLongRun : !seen_reduced && out.strides[i] == kept_);
      if (in_run) {
        (is_reduced ? rows_ : kept_) *= extent;
        run *= extent;
        seen_reduced = seen_reduced || is_reduced;
      } else {
        auto& dims = is_reduced ? reduced_dims_ : kept_dims_;
        dims.push_back({extent, x.strides[i], out.strides[i]});
      }
    }
  }

  /// Neighbouring outputs of a run, and how often a run passes over them.
  [[nodiscard]] std::int64_t kept() const { return kept_; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }

  /// f(offset in x, offset in y) for every block of kept() outputs.
  template <class F>
  void for_each_kept(F&& f) const {
    walk(kept_dims_, kept_dims_.size(), 0, 0, f);
  }
  /// f(offset in x) for every run that belongs to a block.
  template <class F>
  void for_each_reduced(F&& f) const {
    walk(reduced_dims_, reduced_dims_.size(), 0, 0, [&](std::int64_t in, std::int64_t) { f(in); });
  }

 private:
  struct Dim {
    std::int64_t extent, in_stride, out_stride;
  };
  /// Innermost dimension first in `dims`.
  template <class F>
  static void walk(const std::vector<Dim>& dims, std::size_t depth, std::int64_t in,
                   std::int64_t out, F&& f) {
    if (depth == 0) {
      f(in, out);
      return;
    }
    const Dim& dim = dims[depth - 1];
    for (std::int64_t i = 0; i < dim.extent; ++i)
      walk(dims, depth - 1, in + i * dim.in_stride, out + i * dim.out_stride, f);
  }

  std::int64_t kept_ = 1, rows_ = 1;
  std::vector<Dim> kept_dims_, reduced_dims_;
};

}  // namespace hpdlf::codelets
