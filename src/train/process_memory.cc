#include "train/process_memory.hpp"

#include <fstream>
#include <string>
#include <string_view>

namespace hpdlf::train {
namespace {

/// A line such as "VmHWM:     1234 kB" of a file in /proc, in bytes.
std::int64_t bytes_in(const char* file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name)) return std::stoll(line.substr(name.size())) * 1024;
  return 0;
}

}  // namespace

std::int64_t resident_bytes() { return bytes_in("/proc/self/status", "VmRSS:"); }

std::int64_t peak_resident_bytes() { return bytes_in("/proc/self/status", "VmHWM:"); }

bool reset_peak_resident() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;  // proc(5): resets the peak resident set size
  return file.good();
}

std::int64_t available_memory_bytes() { return bytes_in("/proc/meminfo", "MemAvailable:"); }

}  // namespace hpdlf::train
