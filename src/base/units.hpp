// Numbers in the units that a person reads.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace hpdlf {

[[nodiscard]] constexpr double mib(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

}  // namespace hpdlf
