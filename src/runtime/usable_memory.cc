#include "runtime/usable_memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.hpp"

namespace hpdlf::runtime {
namespace {

namespace fs = std::filesystem;

constexpr double kUsable = 0.9;  ///< of all there is; the rest is for the system
constexpr double kUnlimited = std::numeric_limits<double>::infinity();

/// Where a version of control groups keeps its figures.
struct ControlGroups {
  std::string_view controllers;  ///< of its line in /proc/self/cgroup
  const char *folder, *limit, *used;
  const char*
      cached[2];  ///< in memory.stat: pages of files, which are given up where memory is short
};
constexpr ControlGroups kVersions[] = {
    {"memory",
     "sys/fs/cgroup/memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"total_inactive_file", "total_active_file"}},
    {"", "sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file", "active_file"}}};

/// The number that a file begins with; none in "max".
std::optional<double> first_number(const fs::path& file) {
  std::ifstream in(file);
  double number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

/// The group of this process, below the folder of the groups: from "4:memory:/a/b".
fs::path own_group(std::string_view controllers, const fs::path& root) {
  std::ifstream lines(root / "proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second != std::string::npos &&
        std::string_view(line).substr(first + 1, second - first - 1) == controllers)
      return fs::path(line.substr(second + 1)).relative_path();
  }
  return {};
}

/// What the group and those that hold it leave. In a container its own group may be called as outside, but lie at the top.
double left_by_groups(const ControlGroups& version, const fs::path& root) {
  double least = kUnlimited;
  fs::path group = own_group(version.controllers, root);
  while (true) {
    const fs::path folder = root / version.folder / group;
    if (const auto limit = first_number(folder / version.limit)) {
      double left = *limit - first_number(folder / version.used).value_or(0);
      for (const char* cached : version.cached)
        left += static_cast<double>(number_of(folder / "memory.stat", cached));
      least = std::min({least, left, kUsable * *limit});
    }
    if (group.empty()) return least;
    group = group.parent_path();
  }
}

double left_by_machine(const fs::path& root) {
  constexpr double kKiB = 1024;  // the unit of the file, which calls it kB
  const fs::path file = root / "proc/meminfo";
  const auto all = static_cast<double>(number_of(file, "MemTotal"));
  if (all == 0) return kUnlimited;
  return kKiB * std::min(kUsable * all, static_cast<double>(number_of(file, "MemAvailable")));
}

}  // namespace

std::int64_t usable_memory(int local_ranks, const fs::path& root) {
  double left = left_by_machine(root);
  for (const ControlGroups& version : kVersions)
    left = std::min(left, left_by_groups(version, root));
  if (left == kUnlimited) return 0;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(left / local_ranks));  // 0: unknown
}

}  // namespace hpdlf::runtime
