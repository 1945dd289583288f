// Shape algebra: extents, strides, boxes (regions of tensors).
//
// Letters: N batch, C channel, D H W space, T sequence. Activations are channels-last: [N, D, H, W, C].
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/error.hpp"

namespace hpdlf {

/// Tensors have at most 5 or 6 dimensions; the iteration space of a 3-D convolution has 9.
inline constexpr int kMaxRank = 10;

/// A short inline vector of dimensions: extents, strides or coordinates. Rank 0 is a scalar.
class Extents {
 public:
  Extents() = default;
  Extents(std::initializer_list<std::int64_t> dims)
      : Extents(std::span(dims.begin(), dims.size())) {}
  explicit Extents(std::span<const std::int64_t> dims) {
    for (const auto d : dims) push_back(d);
  }
  [[nodiscard]] static Extents filled(int rank, std::int64_t value) {
    Extents e;
    for (int i = 0; i < rank; ++i) e.push_back(value);
    return e;
  }
  void push_back(std::int64_t d) {
    HPDLF_CHECK(rank_ < kMaxRank, "a tensor of more than {} dimensions", kMaxRank);
    dims_[static_cast<std::size_t>(rank_++)] = d;
  }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] bool empty() const { return rank_ == 0; }
  [[nodiscard]] std::int64_t operator[](int i) const { return dims_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] std::int64_t& operator[](int i) { return dims_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] std::int64_t back() const { return dims_[static_cast<std::size_t>(rank_ - 1)]; }
  [[nodiscard]] const std::int64_t* begin() const { return dims_.data(); }
  [[nodiscard]] const std::int64_t* end() const { return dims_.data() + rank_; }
  /// Product of the dimensions; 1 for a scalar.
  [[nodiscard]] std::int64_t elements() const {
    std::int64_t n = 1;
    for (const auto d : *this) n *= d;
    return n;
  }
  friend bool operator==(const Extents& a, const Extents& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

/// "[1,48,112,96,16]"
[[nodiscard]] std::string to_string(const Extents& extents);

/// Strides in elements of a dense row-major tensor.
[[nodiscard]] Extents dense_strides(const Extents& extents);

/// Half-open region of a tensor, one interval a dimension: [lo, hi).
struct Box {
  Extents lo, hi;

  [[nodiscard]] static Box whole(const Extents& extents) {
    return {Extents::filled(extents.rank(), 0), extents};
  }
  [[nodiscard]] int rank() const { return lo.rank(); }
  [[nodiscard]] Extents extents() const;
  [[nodiscard]] std::int64_t elements() const { return extents().elements(); }
  /// True if some dimension is empty.
  [[nodiscard]] bool is_empty() const;
  [[nodiscard]] bool contains(const Box& other) const;
  friend bool operator==(const Box& a, const Box& b) { return a.lo == b.lo && a.hi == b.hi; }
};

/// The common part; empty (hi clamped to lo) where they do not meet. Ranks must agree.
[[nodiscard]] Box intersect(const Box& a, const Box& b);
/// The smallest box that holds both.
[[nodiscard]] Box hull(const Box& a, const Box& b);
/// "[0:24,0:112]"
[[nodiscard]] std::string to_string(const Box& box);

/// Start of part i when `extent` is cut into `parts` as evenly as possible: cut(extent, parts, parts) == extent.
[[nodiscard]] constexpr std::int64_t cut(std::int64_t extent, std::int64_t parts, std::int64_t i) {
  return extent * i / parts;
}

}  // namespace hpdlf
