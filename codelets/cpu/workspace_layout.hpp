// Where the parts of a kernel's workspace lie: the same arithmetic answers Kernel::workspace and serves Kernel::run.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "codelets/cpu/blocks.hpp"

namespace hpdlf::codelets {

/// Parts one after the other, each on a cache line of its own.
class WorkspaceLayout {
 public:
  /// Offset of a new part of `bytes` bytes.
  std::int64_t add(std::int64_t bytes) {
    const std::int64_t at = bytes_;
    bytes_ += blocks_of(bytes, kLine) * kLine;
    return at;
  }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(bytes_); }

 private:
  static constexpr std::int64_t kLine = 64;
  std::int64_t bytes_ = 0;
};

}  // namespace hpdlf::codelets
