#include "base/tensor_view.hpp"

namespace hpdlf {

int TensorView::dense_suffix() const {
  std::int64_t run = 1;
  int count = 0;
  for (int i = rank() - 1; i >= 0; --i, ++count) {
    if (extents[i] != 1 && strides[i] != run) break;
    run *= extents[i];
  }
  return count;
}

bool TensorView::is_dense() const { return dense_suffix() == rank(); }

Box TensorView::box() const {
  Box b{origin, origin};
  for (int i = 0; i < rank(); ++i) b.hi[i] += extents[i];
  return b;
}

TensorView TensorView::slice(const Box& region) const {
  HPDLF_ASSERT(box().contains(region), "region {} is not inside {}", to_string(region),
               to_string(box()));
  TensorView v = *this;
  std::int64_t offset = 0;
  for (int i = 0; i < rank(); ++i) offset += (region.lo[i] - origin[i]) * strides[i];
  v.data = static_cast<std::byte*>(data) + offset * static_cast<std::int64_t>(size_of(dtype));
  v.extents = region.extents();
  v.origin = region.lo;
  return v;
}

}  // namespace hpdlf
