#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <map>
#include <sstream>

#include "base/nearest.hpp"
#include "partition/planner.hpp"
#include "partition/strategies/strategy.hpp"

namespace hpdlf::partition {
namespace {

[[noreturn]] void fail_unknown(const std::string& text) {
  std::vector<std::string> names = strategy_names();
  names.insert(names.begin(), "auto");
  throw Error(
      fmt::format("strategy \"{}\" is none of {}, and not a list of cuts like \"d:4 h:2\"{}", text,
                  fmt::join(names, ", "), did_you_mean(text, names)));
}

/// Parts by factor.
std::map<char, int> cuts_of(const std::string& text) {
  std::map<char, int> cuts;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    int parts = 0;
    const char* end = word.data() + word.size();
    if (word.size() < 3 || word[1] != ':') fail_unknown(text);
    const auto [stop, failure] = std::from_chars(word.data() + 2, end, parts);
    if (stop != end || failure != std::errc()) fail_unknown(text);
    HPDLF_CHECK(parts >= 1, "strategy \"{}\": {} parts along {}; there must be at least 1", text,
                parts, word[0]);
    HPDLF_CHECK(cuts.emplace(word[0], parts).second, "strategy \"{}\" cuts {} twice", text,
                word[0]);
  }
  if (cuts.empty()) fail_unknown(text);
  return cuts;
}

}  // namespace

void check_strategy(const std::string& text) {
  const std::vector<std::string> names = strategy_names();
  if (text != "auto" && std::find(names.begin(), names.end(), text) == names.end())
    (void)cuts_of(text);
}

Cutting explicit_cutting(const std::string& text, const Situation& s) {
  Cutting cutting{.name = text, .parts = cuts_of(text)};
  for (const auto& [factor, parts] : cutting.parts) {
    std::string known;
    for (const auto& [role, extent] : s.largest)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", role);
    HPDLF_CHECK(s.largest.count(factor) == 1,
                "strategy \"{}\": no node has a factor {} that can be cut; there are {}", text,
                factor, known);
  }
  return cutting;
}

}  // namespace hpdlf::partition
