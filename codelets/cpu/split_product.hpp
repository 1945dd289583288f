// f32 products on the tile unit for bf16 of an x86-64 processor (AMX), which multiplies sixteen times as fast as its f32 units: every
// factor is written as the exact sum of three bf16, x = x1 + x2 + x3 of 8 bits each, and
//
//   a b = a1 b1 + (a1 b2 + a2 b1) + (a1 b3 + a2 b2 + a3 b1)
//
// up to terms below the rounding of f32; sums are f32. Source: G. Henry, P. T. P. Tang, A. Heinecke, Leveraging the bfloat16 artificial
// intelligence datatype for higher-precision computations, ARITH 2019. An infinite factor makes NaN; factors below 2^-102 lose bits.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "codelets/cpu/matrix_product.hpp"

namespace hpdlf::codelets {

/// True where the processor has such a unit.
[[nodiscard]] bool has_split_products();
/// True if it has and they pay for this shape.
[[nodiscard]] bool is_for_split_product(const MatrixProductShape& shape);
[[nodiscard]] std::int64_t split_product_scratch_bytes(const MatrixProductShape& shape);
/// Any shape of f32 factors. Only if has_split_products(). @param bias nullptr: none. @param scratch 64-byte aligned
void split_product(const MatrixProductShape& shape, const float* a, const float* b, float* y,
                   const float* bias, std::byte* scratch);

}  // namespace hpdlf::codelets
