// Scratch memory of the kernels that compute a softmax (codelets/cpu/softmax-inl.hpp).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

namespace hpdlf::codelets {

/// f32 lanes of the widest registers (AVX-512).
inline constexpr std::int64_t kMaxLanes = 16;

/// Bytes for the `k` elements of a block of vectors.
[[nodiscard]] constexpr std::size_t softmax_scratch_bytes(std::int64_t k) {
  return static_cast<std::size_t>(k * kMaxLanes) * sizeof(float);
}

}  // namespace hpdlf::codelets
