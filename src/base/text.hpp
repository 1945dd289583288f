// Text as files of other programs hold it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hpdlf {

/// Without blanks, tabs and the line ends of other systems around it.
[[nodiscard]] std::string trimmed(std::string_view text);

/// The trimmed pieces between separators, without those that are empty.
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);

/// What stands behind `name` in the first line that it begins, as "MemFree: 12 kB" and "inactive_file 12" in files of /proc and /sys.
/// Empty if there is no such line or file.
[[nodiscard]] std::string field_of(const std::filesystem::path& file, std::string_view name);
/// The same as a whole number, whatever follows it; 0 if there is none.
[[nodiscard]] std::int64_t number_of(const std::filesystem::path& file, std::string_view name);

}  // namespace hpdlf
