// Golden text: what a pass or a planner prints, kept in tests/golden/NAME.txt and compared line by line.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <string>

namespace hpdlf::test {

/// Compares `text` with tests/golden/NAME.txt; with UPDATE_GOLDEN=1 in the environment writes the file instead.
[[nodiscard]] inline testing::AssertionResult equals_golden(const std::string& text,
                                                            const std::string& name) {
  const std::filesystem::path path =
      std::filesystem::path(HPDLF_SOURCE_DIR) / "tests/golden" / (name + ".txt");
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << text;
    return testing::AssertionSuccess();
  }
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  if (file && golden.str() == text) return testing::AssertionSuccess();

  std::istringstream expected_lines(golden.str()), actual_lines(text);
  std::string expected, actual;
  int line = 0;
  bool has_expected = true, has_actual = true;
  do {
    has_expected = static_cast<bool>(std::getline(expected_lines, expected));
    has_actual = static_cast<bool>(std::getline(actual_lines, actual));
    ++line;
  } while (has_expected && has_actual && expected == actual);
  return testing::AssertionFailure()
         << path << ":" << line << "\n  expected: " << (has_expected ? expected : "(end)")
         << "\n  actual:   " << (has_actual ? actual : "(end)")
         << "\nUPDATE_GOLDEN=1 rewrites the file; the whole text is\n"
         << text;
}

}  // namespace hpdlf::test
