#include "train/process_memory.hpp"

#include <fstream>

#include "base/text.hpp"

namespace hpdlf::train {
namespace {

constexpr const char* kStatus = "/proc/self/status";
constexpr std::int64_t kKiB = 1024;  // its unit, which it calls kB

}  // namespace

std::int64_t resident_bytes() { return number_of(kStatus, "VmRSS") * kKiB; }

std::int64_t peak_resident_bytes() { return number_of(kStatus, "VmHWM") * kKiB; }

bool reset_peak_resident() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;  // proc(5): resets the peak resident set size
  return file.good();
}

}  // namespace hpdlf::train
