// Where results that belong to the machine live (calibration, dependencies).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>

namespace hpdlf {

/// HPDLF_CACHE_DIR, else ~/.cache/hpdlf, else a folder in the system's temporary one.
[[nodiscard]] std::filesystem::path cache_dir();

}  // namespace hpdlf
