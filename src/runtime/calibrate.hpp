// Roofline calibration: what one core of this machine reaches while all cores are busy.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>

#include "partition/machine.hpp"

namespace hpdlf::runtime {

/// Measures GFLOP/s (f32, bf16: a convolution through the kernel registry) and GB/s (streaming Copy kernel) a core, about 5 s in all, on
/// `workers` threads at once, or reads them from `cache` if it was written on this machine (CPU model, cores, version in its key).
/// The cache is a JSON file written atomically. @throws Error if it cannot be written.
[[nodiscard]] partition::Machine calibrated_machine(int ranks, int workers,
                                                    const std::filesystem::path& cache,
                                                    bool force = false);

}  // namespace hpdlf::runtime
