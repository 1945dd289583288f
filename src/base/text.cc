#include "base/text.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <utility>

namespace hpdlf {
namespace {

constexpr std::string_view kBlanks = " \t\r";
constexpr std::string_view kSeparators = " \t:";

}  // namespace

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(kBlanks) - first + 1));
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(piece.size() + 1, text.size()));
    if (std::string trim = trimmed(piece); !trim.empty()) pieces.push_back(std::move(trim));
  }
  return pieces;
}

std::string field_of(const std::filesystem::path& file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name) || line.find_first_of(kSeparators, name.size()) != name.size())
      continue;
    const auto first = line.find_first_not_of(kSeparators, name.size());
    return first == std::string::npos ? "" : trimmed(std::string_view(line).substr(first));
  }
  return "";
}

std::int64_t number_of(const std::filesystem::path& file, std::string_view name) {
  return std::strtoll(field_of(file, name).c_str(), nullptr, 10);
}

}  // namespace hpdlf
