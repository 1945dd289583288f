// A set of points of a tensor, kept as disjoint boxes.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "base/shape.hpp"

namespace hpdlf::partition {

/// `from` without `hole`, as disjoint boxes.
[[nodiscard]] std::vector<Box> subtract(const Box& from, const Box& hole);

class RegionSet {
 public:
  void add(const Box& box);
  void remove(const Box& box);
  [[nodiscard]] bool covers(const Box& box) const;
  [[nodiscard]] bool meets(const Box& box) const;

 private:
  std::vector<Box> boxes_;
};

}  // namespace hpdlf::partition
