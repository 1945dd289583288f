// Finds what a misspelt name probably meant, for error messages.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace hpdlf {

/// Number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`; case counts for nothing.
[[nodiscard]] int edit_distance(std::string_view a, std::string_view b);

/// The known name nearest to `name` (the first of equals), or empty if none is near: more than a third of the letters differ.
[[nodiscard]] std::string nearest_name(std::string_view name, std::span<const std::string> known);

/// "; did you mean `strides`?", or empty if no known name is near.
[[nodiscard]] std::string did_you_mean(std::string_view name, std::span<const std::string> known);

}  // namespace hpdlf
