#include "base/axes.hpp"

#include <algorithm>

namespace hpdlf {
namespace {

/// ONNX: negative positions count from the back, then both are clamped to what a step of this sign can reach.
SliceRange range_of(std::int64_t start, std::int64_t end, std::int64_t step, std::int64_t extent) {
  const auto from_back = [&](std::int64_t p) { return p < 0 ? p + extent : p; };
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? extent : extent - 1;
  start = std::clamp(from_back(start), std::int64_t{0}, std::max<std::int64_t>(high, 0));
  // For a negative step "before the first element" can only be said by an end far below -extent.
  end = std::clamp(from_back(end), low, high);
  const std::int64_t span = step > 0 ? end - start : start - end;
  const std::int64_t stride = std::abs(step);
  return {start, step, span <= 0 ? 0 : (span + stride - 1) / stride};
}

}  // namespace

int normalized_axis(std::int64_t axis, int rank) {
  HPDLF_CHECK(axis >= -rank && axis < rank, "axis {} of a tensor of rank {}; allowed is {} to {}",
              axis, rank, -rank, rank - 1);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

AxisSet axis_set(const std::vector<std::int64_t>& axes, int rank) {
  AxisSet set{};
  if (axes.empty()) set.fill(true);
  for (const auto axis : axes) {
    bool& flag = set[static_cast<std::size_t>(normalized_axis(axis, rank))];
    HPDLF_CHECK(!flag, "axes={} names axis {} twice", to_string(AttrValue(axes)), axis);
    flag = true;
  }
  return set;
}

std::array<SliceRange, kMaxRank> slices_from(const Attrs& attrs, const Extents& extents) {
  const auto& starts = attrs.integers("starts");
  const auto& ends = attrs.integers("ends");
  const auto& axes = attrs.integers("axes");
  const auto& steps = attrs.integers("steps");
  HPDLF_CHECK(starts.size() == ends.size() && (axes.empty() || axes.size() == starts.size()) &&
                  (steps.empty() || steps.size() == starts.size()),
              "starts, ends, axes and steps have {}, {}, {} and {} values", starts.size(),
              ends.size(), axes.size(), steps.size());
  HPDLF_CHECK(static_cast<int>(starts.size()) <= extents.rank(), "{} slices of a tensor of rank {}",
              starts.size(), extents.rank());
  std::array<SliceRange, kMaxRank> ranges{};
  for (int i = 0; i < extents.rank(); ++i) ranges[static_cast<std::size_t>(i)] = {0, 1, extents[i]};
  if (!axes.empty()) static_cast<void>(axis_set(axes, extents.rank()));  // names each axis once
  for (std::size_t k = 0; k < starts.size(); ++k) {
    const int axis = axes.empty() ? static_cast<int>(k) : normalized_axis(axes[k], extents.rank());
    const std::int64_t step = steps.empty() ? 1 : steps[k];
    HPDLF_CHECK(step != 0, "steps={} holds 0", to_string(AttrValue(steps)));
    ranges[static_cast<std::size_t>(axis)] = range_of(starts[k], ends[k], step, extents[axis]);
  }
  return ranges;
}

}  // namespace hpdlf
