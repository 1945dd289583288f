// What graph's Winograd operators promise and codelets' kernels for them rely on.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace hpdlf {

/// Taps along D of a kernel D x 3 x 3: the kernels keep a pointer to the factors of each on the stack.
inline constexpr std::int64_t kMostWinogradTaps = 16;

}  // namespace hpdlf
