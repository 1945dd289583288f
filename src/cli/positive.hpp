// What options that count accept.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <fmt/format.h>
#include <string>

namespace hpdlf::cli {

/// Whole numbers of 1 and more. CLI::PositiveNumber names the largest double as its bound.
[[nodiscard]] inline CLI::Validator positive() {
  return {[](const std::string& text) {
            std::int64_t n = 0;
            if (CLI::detail::lexical_cast(text, n) && n >= 1) return std::string();
            return fmt::format("must be a whole number of 1 or more, found \"{}\"", text);
          },
          "POSITIVE"};
}

}  // namespace hpdlf::cli
