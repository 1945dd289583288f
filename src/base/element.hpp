// Single elements of untyped memory as double: for initial values, tests and messages. Kernels are typed and vectorised instead.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/dtype.hpp"

namespace hpdlf {

/// Element `i` of a dense array. @throws Error for f16, which has no arithmetic here.
[[nodiscard]] double load_element(const void* data, DType dtype, std::int64_t i);
/// Rounds `value` to the element type: to nearest for floats, towards zero for integers (it must fit).
void store_element(void* data, DType dtype, std::int64_t i, double value);

}  // namespace hpdlf
