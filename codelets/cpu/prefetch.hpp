// Prefetching of what is read next while there is enough to compute: memory and arithmetic overlap within one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "codelets/cpu/blocks.hpp"

namespace hpdlf::codelets {

/// Lines `stride` elements apart, to the first level.
template <std::int64_t stride, int count, class T>
inline void prefetch_lines(const T* first) {
  constexpr int kRead = 0, kFirstLevel = 3;
#pragma GCC unroll 16
  for (int i = 0; i < count; ++i) __builtin_prefetch(first + i * stride, kRead, kFirstLevel);
}

/// What a pass over memory reads a page later. The hardware begins every page anew, and does not see the order of columns. Measured.
template <class T>
inline void prefetch_ahead(const T* element) {
  constexpr std::size_t kPage = 4096;
  prefetch_lines<0, 1>(element + kPage / sizeof(T));
}

/// Planes of rows of dense memory; strides and lengths in bytes.
struct RowsToPrefetch {
  const std::byte* base = nullptr;
  std::int64_t planes = 0, plane_stride = 0, rows = 0, row_stride = 0, row_bytes = 0;
};

/// Rows of `rows` x `columns` positions in `planes` planes of an activation, from `first` on; strides in elements, channels are dense.
template <class T>
[[nodiscard]] RowsToPrefetch rows_to_prefetch(const T* first,
                                              const std::array<std::int64_t, 3>& strides,
                                              std::int64_t planes, std::int64_t rows,
                                              std::int64_t columns) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  return {.base = reinterpret_cast<const std::byte*>(first),
          .planes = planes,
          .plane_stride = strides[0] * kSize,
          .rows = rows,
          .row_stride = strides[1] * kSize,
          .row_bytes = columns * strides[2] * kSize};
}

/// Walks over regions a few cache lines at a time.
class Prefetcher {
 public:
  void add(const RowsToPrefetch& region) {
    if (region.planes <= 0 || region.rows <= 0 || region.row_bytes <= 0) return;
    regions_[static_cast<std::size_t>(count_++)] = region;
    left_ += region.planes * region.rows * lines_of(region);
  }
  /// So that `calls` calls of advance() cover all that was added.
  void spread_over(std::int64_t calls) {
    step_ = blocks_of(left_, std::max<std::int64_t>(1, calls));
  }

  void advance() {
    std::int64_t count = std::min(step_, left_);
    left_ -= count;
    while (count > 0) {
      const RowsToPrefetch& r = regions_[static_cast<std::size_t>(region_)];
      const std::byte* line =
          r.base + plane_ * r.plane_stride + row_ * r.row_stride + line_ * kLineBytes;
      const std::int64_t run = std::min(count, lines_of(r) - line_);
      constexpr int kRead = 0, kSecondLevel = 2;  // L2: the first level is the computation's
      for (std::int64_t i = 0; i < run; ++i)
        __builtin_prefetch(line + i * kLineBytes, kRead, kSecondLevel);
      count -= run;
      line_ += run;
      if (line_ == lines_of(r)) next_row(r);
    }
  }

 private:
  static constexpr std::int64_t kLineBytes = 64;
  static std::int64_t lines_of(const RowsToPrefetch& r) {
    return blocks_of(r.row_bytes, kLineBytes);
  }
  void next_row(const RowsToPrefetch& r) {
    line_ = 0;
    if (++row_ < r.rows) return;
    row_ = 0;
    if (++plane_ < r.planes) return;
    plane_ = 0;
    ++region_;
  }
  std::array<RowsToPrefetch, 2> regions_{};
  int count_ = 0, region_ = 0;
  std::int64_t plane_ = 0, row_ = 0, line_ = 0, left_ = 0, step_ = 0;
};

}  // namespace hpdlf::codelets
