// How much memory this process occupies, as the kernel counts it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace hpdlf::train {

/// Resident set now and at its highest, bytes. 0 where the system does not say (no /proc).
[[nodiscard]] std::int64_t resident_bytes();
[[nodiscard]] std::int64_t peak_resident_bytes();

/// Lets the peak start again from the present size, so that the peak of training is not that of loading.
/// @returns false if the system does not allow it: the peak is then of the whole process.
bool reset_peak_resident();

}  // namespace hpdlf::train
