#include "partition/region_set.hpp"

#include <algorithm>

namespace hpdlf::partition {

std::vector<Box> subtract(const Box& from, const Box& hole) {
  const Box common = intersect(from, hole);
  if (common.is_empty()) return {from};
  std::vector<Box> rest;
  Box middle = from;  // shrinks to `common`, one dimension after the other; what is cut off is kept
  for (int i = 0; i < from.rank(); ++i) {
    Box below = middle;
    Box above = middle;
    below.hi[i] = common.lo[i];
    above.lo[i] = common.hi[i];
    for (const Box& slab : {below, above})
      if (!slab.is_empty()) rest.push_back(slab);
    middle.lo[i] = common.lo[i];
    middle.hi[i] = common.hi[i];
  }
  return rest;
}

void RegionSet::add(const Box& box) {
  if (box.is_empty()) return;
  remove(box);
  boxes_.push_back(box);
}

void RegionSet::remove(const Box& box) {
  std::vector<Box> rest;
  for (const Box& b : boxes_)
    for (const Box& part : subtract(b, box)) rest.push_back(part);
  boxes_ = std::move(rest);
}

bool RegionSet::covers(const Box& box) const {
  std::int64_t covered = 0;
  for (const Box& b : boxes_) {
    const Box common = intersect(b, box);
    if (!common.is_empty()) covered += common.elements();
  }
  return covered == (box.is_empty() ? 0 : box.elements());
}

bool RegionSet::meets(const Box& box) const {
  return std::any_of(boxes_.begin(), boxes_.end(),
                     [&](const Box& b) { return !intersect(b, box).is_empty(); });
}

}  // namespace hpdlf::partition
