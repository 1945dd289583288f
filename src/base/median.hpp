// The figures that stand for many measurements.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace hpdlf {

/// The upper one of two; 0 if empty.
[[nodiscard]] inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Median of a run's steps. Of more than four values the first two are left out: those steps fill caches and pools.
[[nodiscard]] inline double steady_median(std::vector<double> values) {
  constexpr std::ptrdiff_t kWarmUp = 2;
  if (values.size() > 4) values.erase(values.begin(), values.begin() + kWarmUp);
  return median(std::move(values));
}

}  // namespace hpdlf
