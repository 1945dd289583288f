// Sizes of the caches, which block sizes are chosen by.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <unistd.h>

namespace hpdlf::codelets {

/// Of a core's second-level cache; 1 MiB where the system does not know.
[[nodiscard]] inline std::int64_t l2_bytes() {
  static const std::int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? bytes : std::int64_t{1} << 20;
}

}  // namespace hpdlf::codelets
