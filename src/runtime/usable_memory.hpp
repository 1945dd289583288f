// How much memory a rank may plan with.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>

namespace hpdlf::runtime {

/// Bytes that this process may still take, if each of the `local_ranks` of this machine takes as much: what is left now of the machine's
/// memory and of the limits of its control groups (versions 1 and 2), and at most 90 % of any of them. Files in the page cache count as
/// left. 0 where the system does not say.
/// @param root  of the file system that holds /proc and /sys
[[nodiscard]] std::int64_t usable_memory(int local_ranks = 1,
                                         const std::filesystem::path& root = "/");

}  // namespace hpdlf::runtime
