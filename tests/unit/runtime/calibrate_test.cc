#include "runtime/calibrate.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/atomic_file.hpp"

namespace hpdlf::runtime {
namespace {

namespace fs = std::filesystem;

class CalibrateTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] fs::path cache() const { return folder_ / "machine.json"; }

 private:
  fs::path folder_ = fs::temp_directory_path() / ("hpdlf_calibrate_" + std::to_string(::getpid()));
};

TEST_F(CalibrateTest, MeasuresPlausibleRatesUnlessItsCacheHoldsThoseOfThisMachine) {
  write_file_atomically(
      cache(),
      std::string_view(
          R"({"key": "another", "gflops_f32": 1e6, "gflops_bf16": 1e6, "gbytes_per_s": 1e6})"));

  const partition::Machine measured = calibrated_machine(1, 1, cache());
  const partition::Machine again = calibrated_machine(2, 1, cache());

  EXPECT_GT(measured.gflops_f32, 0.5);
  EXPECT_LT(measured.gflops_f32, 10000);
  EXPECT_GT(measured.gflops_bf16, 0.1);
  EXPECT_GT(measured.gbytes_per_s, 0.2);
  EXPECT_LT(measured.gbytes_per_s, 1000);
  EXPECT_GT(measured.memory_bytes, std::int64_t{64} << 20);
  EXPECT_EQ(again.gflops_f32, measured.gflops_f32) << "was measured again";
  EXPECT_EQ(again.gbytes_per_s, measured.gbytes_per_s);
  EXPECT_EQ(again.ranks, 2);
}

TEST_F(CalibrateTest, SaysIfTheCacheCannotBeWritten) {
  write_file_atomically(cache(), std::string_view("a file, no folder"));

  EXPECT_THROW((void)calibrated_machine(1, 1, cache() / "machine.json"), Error);
}

TEST_F(CalibrateTest, RefusesAMachineWithoutWorkers) {
  EXPECT_THROW((void)calibrated_machine(1, 0, cache()), Error);
}

}  // namespace
}  // namespace hpdlf::runtime
