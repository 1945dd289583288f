// Prefetching of what is read next while there is enough to compute: memory and arithmetic overlap within one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace hpdlf::codelets {

/// Planes of rows of dense memory; strides and lengths in bytes.
struct RowsToPrefetch {
  const std::byte* base = nullptr;
  std::int64_t planes = 0, plane_stride = 0, rows = 0, row_stride = 0, row_bytes = 0;
};

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
    step_ = (left_ + calls - 1) / std::max<std::int64_t>(1, calls);
  }

  void advance() {
    for (std::int64_t i = std::min(step_, left_); i > 0; --i) {
      const RowsToPrefetch& r = regions_[static_cast<std::size_t>(region_)];
      constexpr int kRead = 0, kSecondLevel = 2;  // L2: the first level is the computation's
      __builtin_prefetch(
          r.base + plane_ * r.plane_stride + row_ * r.row_stride + line_ * kLineBytes, kRead,
          kSecondLevel);
      --left_;
      if (++line_ < lines_of(r)) continue;
      line_ = 0;
      if (++row_ < r.rows) continue;
      row_ = 0;
      if (++plane_ < r.planes) continue;
      plane_ = 0;
      ++region_;
    }
  }

 private:
  static constexpr std::int64_t kLineBytes = 64;
  static std::int64_t lines_of(const RowsToPrefetch& r) {
    return (r.row_bytes + kLineBytes - 1) / kLineBytes;
  }
  std::array<RowsToPrefetch, 2> regions_{};
  int count_ = 0, region_ = 0;
  std::int64_t plane_ = 0, row_ = 0, line_ = 0, left_ = 0, step_ = 0;
};

}  // namespace hpdlf::codelets
