#include "base/shape.hpp"

#include <algorithm>

namespace hpdlf {

std::string to_string(const Extents& extents) {
  std::string s = "[";
  for (int i = 0; i < extents.rank(); ++i) s += (i > 0 ? "," : "") + std::to_string(extents[i]);
  return s + "]";
}

Extents dense_strides(const Extents& extents) {
  Extents strides = Extents::filled(extents.rank(), 1);
  for (int i = extents.rank() - 2; i >= 0; --i) strides[i] = strides[i + 1] * extents[i + 1];
  return strides;
}

Extents Box::extents() const {
  Extents e;
  for (int i = 0; i < rank(); ++i) e.push_back(std::max<std::int64_t>(0, hi[i] - lo[i]));
  return e;
}

bool Box::is_empty() const {
  for (int i = 0; i < rank(); ++i)
    if (hi[i] <= lo[i]) return true;
  return false;
}

bool Box::contains(const Box& other) const {
  for (int i = 0; i < rank(); ++i)
    if (other.lo[i] < lo[i] || other.hi[i] > hi[i]) return false;
  return true;
}

Box intersect(const Box& a, const Box& b) {
  HPDLF_ASSERT(a.rank() == b.rank(), "boxes {} and {} differ in rank", to_string(a), to_string(b));
  Box r = a;
  for (int i = 0; i < a.rank(); ++i) {
    r.lo[i] = std::max(a.lo[i], b.lo[i]);
    r.hi[i] = std::max(r.lo[i], std::min(a.hi[i], b.hi[i]));
  }
  return r;
}

Box hull(const Box& a, const Box& b) {
  HPDLF_ASSERT(a.rank() == b.rank(), "boxes {} and {} differ in rank", to_string(a), to_string(b));
  Box r = a;
  for (int i = 0; i < a.rank(); ++i) {
    r.lo[i] = std::min(a.lo[i], b.lo[i]);
    r.hi[i] = std::max(a.hi[i], b.hi[i]);
  }
  return r;
}

std::string to_string(const Box& box) {
  std::string s = "[";
  for (int i = 0; i < box.rank(); ++i)
    s += fmt::format("{}{}:{}", i > 0 ? "," : "", box.lo[i], box.hi[i]);
  return s + "]";
}

}  // namespace hpdlf
