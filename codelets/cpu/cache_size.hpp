// Sizes of the caches, which decide on blocks of work and on ways to write.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <unistd.h>

namespace hpdlf::codelets {

inline constexpr std::int64_t kLine = 16;  ///< f32 in a cache line

/// Of a core's second-level cache; 1 MiB where the system does not know.
[[nodiscard]] inline std::int64_t l2_bytes() {
  static const std::int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? bytes : std::int64_t{1} << 20;
}

/// An output of so many bytes leaves the caches before it is read. Written past them its memory need not be fetched first: measured.
inline constexpr std::int64_t kStreamedBytes = std::int64_t{4} << 20;

}  // namespace hpdlf::codelets
