// Is a piece of memory free of NaN and infinity?
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <span>

#include "base/tensor_view.hpp"

namespace hpdlf {

/// Types that have no NaN are always finite. As fast as the memory.
[[nodiscard]] bool all_finite(std::span<const std::byte> elements, DType dtype);
[[nodiscard]] bool all_finite(const TensorView& view);

}  // namespace hpdlf
