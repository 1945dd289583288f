// Memory that is left, on systems whose /proc and /sys the tests write.
#include "runtime/usable_memory.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <string>

#include "support/temp_folder.hpp"

namespace hpdlf::runtime {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

class UsableMemory : public testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text << "\n";
  }
  void machine_has(std::int64_t all_gib, std::int64_t available_gib) {
    write("proc/meminfo",
          "MemTotal: " + std::to_string(all_gib << 20) +
              " kB\nMemFree: 1 kB\nMemAvailable: " + std::to_string(available_gib << 20) + " kB");
  }
  void group_has(const std::string& group, std::int64_t limit, std::int64_t used,
                 std::int64_t cached) {
    const std::string folder = "sys/fs/cgroup/" + group;
    write(folder + "memory.max", std::to_string(limit));
    write(folder + "memory.current", std::to_string(used));
    write(folder + "memory.stat", "anon 5\ninactive_file " + std::to_string(cached / 2) +
                                      "\nactive_file " + std::to_string(cached - cached / 2));
  }
  [[nodiscard]] double gib(int local_ranks = 1) const {
    return static_cast<double>(usable_memory(local_ranks, root_.path())) / kGiB;
  }

  test::TempFolder root_;
};

TEST_F(UsableMemory, IsWhatTheMachineHasLeftAndNeverAllOfIt) {
  machine_has(100, 40);
  EXPECT_DOUBLE_EQ(gib(), 40);
  EXPECT_DOUBLE_EQ(gib(4), 10) << "its ranks share it";

  machine_has(100, 99);
  EXPECT_DOUBLE_EQ(gib(), 90);
}

TEST_F(UsableMemory, IsWhatTheLimitOfTheContainerLeaves) {
  machine_has(100, 80);
  write("proc/self/cgroup", "0::/");
  group_has("", 10 * kGiB, 6 * kGiB, 4 * kGiB);
  EXPECT_DOUBLE_EQ(gib(), 8) << "files that are cached give way";
  EXPECT_DOUBLE_EQ(gib(2), 4);

  group_has("", 10 * kGiB, 0, 0);
  EXPECT_DOUBLE_EQ(gib(), 9);
  write("sys/fs/cgroup/memory.max", "max");
  EXPECT_DOUBLE_EQ(gib(), 80);
}

TEST_F(UsableMemory, KeepsToTheLimitOfEveryGroupAbove) {
  machine_has(100, 80);
  write("proc/self/cgroup", "3:cpu:/elsewhere\n0::/job/step");
  group_has("job/step/", 50 * kGiB, kGiB, 0);
  group_has("job/", 20 * kGiB, 15 * kGiB, 0);
  group_has("elsewhere/", kGiB, 0, 0);

  EXPECT_DOUBLE_EQ(gib(), 5);
}

TEST_F(UsableMemory, KnowsTheFirstVersionOfControlGroups) {
  machine_has(100, 80);
  write("proc/self/cgroup", "5:devices:/\n4:memory:/docker/abc\n0::/");
  const std::string folder = "sys/fs/cgroup/memory/";  // the container sees its own at the top
  write(folder + "memory.limit_in_bytes", std::to_string(16 * kGiB));
  write(folder + "memory.usage_in_bytes", std::to_string(12 * kGiB));
  write(folder + "memory.stat", "inactive_file 1\ntotal_inactive_file " + std::to_string(kGiB) +
                                    "\ntotal_active_file " + std::to_string(2 * kGiB));
  EXPECT_DOUBLE_EQ(gib(), 7);

  write(folder + "memory.limit_in_bytes", "9223372036854771712");  // none
  EXPECT_DOUBLE_EQ(gib(), 80);
}

TEST_F(UsableMemory, IsKnownIfThereIsNoneLeft) {
  machine_has(100, 80);
  group_has("", 10 * kGiB, 11 * kGiB, 0);

  EXPECT_EQ(usable_memory(1, root_.path()), 1) << "0 would be no limit";
}

TEST_F(UsableMemory, IsUnknownWhereTheSystemDoesNotSay) {
  EXPECT_EQ(usable_memory(1, root_.path()), 0);
}

TEST_F(UsableMemory, IsThereOnThisSystem) { EXPECT_GT(usable_memory(), 0); }

}  // namespace
}  // namespace hpdlf::runtime
