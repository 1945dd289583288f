// Attention of f32 on tiles of bf16, as codelets/cpu/split_product.hpp multiplies.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>

#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

/// True where the processor has tiles and packing pays for the shape.
[[nodiscard]] bool is_for_split_attention(const KernelArgs& args);
/// Bytes for SelfAttention (one input) and its gradient.
[[nodiscard]] std::size_t split_attention_workspace(const KernelArgs& args);
void split_attention(const KernelArgs& args);
void split_attention_grad(const KernelArgs& args);

}  // namespace hpdlf::codelets
