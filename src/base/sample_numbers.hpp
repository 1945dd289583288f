// Numbers for kernels that are timed.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <span>

namespace hpdlf {

/// Fills memory of f32, bf16 or f64, whichever it holds, with numbers of both signs between 2^-64 and 2 in size whose bits are as mixed as in
/// training. On zeros a processor that must keep to its power runs faster: tiles of bf16 are multiplied in three quarters of the time.
void fill_sample_numbers(std::span<std::byte> memory);

}  // namespace hpdlf
