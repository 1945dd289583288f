// Cutting a length into blocks.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace hpdlf::codelets {

/// Blocks of at most `size` that make up n.
[[nodiscard]] constexpr std::int64_t blocks_of(std::int64_t n, std::int64_t size) {
  return (n + size - 1) / size;
}
/// At most `most`, such that the parts of `all` are of about equal size.
[[nodiscard]] constexpr std::int64_t even(std::int64_t all, std::int64_t most) {
  return blocks_of(all, blocks_of(all, most));
}

}  // namespace hpdlf::codelets
