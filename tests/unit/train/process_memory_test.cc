#include "train/process_memory.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace hpdlf::train {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

/// Maps, touches and gives back `bytes`; malloc might keep them.
void touch(std::size_t bytes) {
  void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(p, MAP_FAILED);
  std::memset(p, 1, bytes);
  ::munmap(p, bytes);
}

TEST(ProcessMemory, RemembersThePeakUntilItIsReset) {
  const std::int64_t before = resident_bytes();
  ASSERT_GT(before, 0);
  touch(static_cast<std::size_t>(80 * kMiB));

  EXPECT_GE(peak_resident_bytes(), before + 70 * kMiB);
  EXPECT_LT(resident_bytes(), before + 20 * kMiB);
  if (!reset_peak_resident()) GTEST_SKIP() << "this system does not let a process reset its peak";
  EXPECT_LT(peak_resident_bytes(), before + 20 * kMiB);
}

}  // namespace
}  // namespace hpdlf::train
