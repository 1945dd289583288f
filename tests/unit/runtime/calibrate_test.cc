#include "runtime/calibrate.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/atomic_file.hpp"
#include "base/median.hpp"
#include "codelets/cpu/onednn_info.hpp"
#include "graph/tiling_rule.hpp"
#include "runtime/measure.hpp"

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
  [[nodiscard]] fs::path cache() const { return folder_ / "machine.sqlite"; }

 private:
  fs::path folder_ = fs::temp_directory_path() / ("hpdlf_calibrate_" + std::to_string(::getpid()));
};

const Attrs kNone;
constexpr std::string_view kNoDatabase =
    "no database, but long enough to be one: sixty, seventy, eighty, ninety, a hundred.";

/// y = x + x, or another elementwise operator of `inputs` operands.
partition::KernelCall call_of(std::string_view op, std::int64_t elements, std::size_t inputs) {
  graph::OpCall call{&graph::op_registry().at(op),
                     &kNone,
                     std::vector(inputs, graph::TensorType{DType::f32, {elements}}),
                     {}};
  call.spec->infer(call);
  const graph::TilingRule rule = graph::tiling_rule(call);
  return partition::kernel_call(call, rule, rule.iteration_space());
}

TEST_F(CalibrateTest, MeasuresPlausibleRatesUnlessItsFileHoldsThoseOfThisMachine) {
  const partition::Machine measured = Calibration(cache(), 1).machine(1);
  const partition::Machine again = Calibration(cache(), 1).machine(2);

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

TEST_F(CalibrateTest, TellsMachinesOfOtherInstructionsApart) {
  (void)Calibration(cache(), 1).machine(1);

  const std::string instructions = codelets::onednn_info().instruction_set;
  ASSERT_FALSE(instructions.empty());
  EXPECT_NE(read_text_file(cache()).find(instructions), std::string::npos);
}

TEST_F(CalibrateTest, KeepsTheTimesOfKernels) {
  const partition::KernelCall add = call_of("Add", 1 << 20, 2);
  const auto first = Calibration(cache(), 1).seconds(add);
  ASSERT_TRUE(first.has_value());
  EXPECT_GT(*first, 12e6 / 1000e9) << "faster than 1000 GB/s";
  EXPECT_LT(*first, 1);

  EXPECT_EQ(Calibration(cache(), 1).seconds(add), first);
  EXPECT_NE(Calibration(cache(), 2).seconds(add), first) << "taken from another number of workers";
}

TEST_F(CalibrateTest, TakesWhatAnotherProcessHasMeasuredMeanwhile) {
  const partition::KernelCall add = call_of("Add", 1 << 10, 2);
  Calibration early(cache(), 1);
  const auto elsewhere = Calibration(cache(), 1).seconds(add);

  EXPECT_EQ(early.seconds(add), elsewhere);
}

TEST_F(CalibrateTest, DoesNotKnowCallsThatNoKernelTakes) {
  partition::KernelCall call = call_of("Add", 16, 2);
  for (auto* operands : {&call.inputs, &call.outputs})
    for (auto& operand : *operands) operand.dtype = DType::u8;

  EXPECT_EQ(Calibration(cache(), 1).seconds(call), std::nullopt);
  EXPECT_EQ(Calibration(cache(), 1).seconds(call), std::nullopt) << "read from the file";
}

TEST_F(CalibrateTest, MeasuresLongerCallsAsLonger) {
  const double small = measure(call_of("Add", 1 << 12, 2), 1, 0.01);
  const double large = measure(call_of("Add", 1 << 22, 2), 1, 0.01);

  EXPECT_GT(large, 100 * small) << "1024 times the elements";
}

/// Of several measurements, for a machine whose pace changes while one is made.
double typical_measurement(const partition::KernelCall& call,
                           std::span<const Reference> references) {
  std::vector<double> found;
  for (int i = 0; i < 9; ++i) found.push_back(measure(call, 1, 0.02, references));
  return median(std::move(found));
}

TEST_F(CalibrateTest, MeasuresAtThePaceOfItsReferences) {
  const partition::KernelCall add = call_of("Add", 1 << 20, 2), small = call_of("Add", 1 << 18, 2);
  const Reference itself{add, 1, 1};
  EXPECT_NEAR(typical_measurement(add, std::span(&itself, 1)), 1, 0.3)
      << "whatever the machine does";

  constexpr double kNever = 1e9;  // of no weight then
  const Reference parts[] = {{add, 1, 0.25}, {small, kNever, 0.75}};
  EXPECT_NEAR(typical_measurement(add, parts), 4, 1.2)
      << "a quarter of it goes as the reference does";
}

TEST_F(CalibrateTest, ForgetsWhatAnotherVersionMeasured) {
  const std::string machine = "a processor";
  KernelDatabase(cache(), machine, 1).add("Add", 0.25);

  EXPECT_EQ(KernelDatabase(cache(), machine, 1).find("Add"), 0.25);
  EXPECT_EQ(KernelDatabase(cache(), "another", 1).find("Add"), std::nullopt);
  EXPECT_EQ(KernelDatabase(cache(), machine, 2).find("Add"), std::nullopt);
}

TEST_F(CalibrateTest, ForgetsMachinesByTheBeginningOfTheirNames) {
  const std::string names[] = {"A x2, 1 workers", "A x2, 2 workers", "A x20, 2 workers", "B x2, "};
  for (const std::string& name : names) KernelDatabase(cache(), name, 1).add("Add", 0.25);

  KernelDatabase(cache(), "", 1).forget("A x2, ");

  EXPECT_EQ(KernelDatabase(cache(), names[0], 1).find("Add"), std::nullopt);
  EXPECT_EQ(KernelDatabase(cache(), names[1], 1).find("Add"), std::nullopt);
  EXPECT_EQ(KernelDatabase(cache(), names[2], 1).find("Add"), 0.25);
  EXPECT_EQ(KernelDatabase(cache(), names[3], 1).find("Add"), 0.25);
}

TEST_F(CalibrateTest, ForgetsWhatThisMachineMeasuredAndKeepsTheFile) {
  const partition::KernelCall add = call_of("Add", 1 << 10, 2);
  bool measures = false;
  const auto seconds = [&] {
    return Calibration(cache(), 1, nullptr, [&] { measures = true; }).seconds(add);
  };
  (void)seconds();
  measures = false;
  (void)seconds();
  ASSERT_FALSE(measures);

  forget_measurements(cache());

  EXPECT_TRUE(fs::exists(cache())) << "others may have theirs in it";
  (void)seconds();
  EXPECT_TRUE(measures);
}

TEST_F(CalibrateTest, ForgetsAFileThatIsDamaged) {
  write_file_atomically(cache(), kNoDatabase);

  forget_measurements(cache());

  EXPECT_FALSE(fs::exists(cache()));
  EXPECT_NO_THROW(forget_measurements(cache())) << "nothing to forget";
}

TEST_F(CalibrateTest, NamesAFileThatIsNoDatabase) {
  write_file_atomically(cache(), kNoDatabase);
  try {
    Calibration calibration(cache(), 1);
    ADD_FAILURE() << "was opened";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find(cache().string()), std::string::npos) << error.what();
    EXPECT_NE(error.hint().find("remove it"), std::string::npos) << error.what();
  }
}

TEST_F(CalibrateTest, SaysIfTheCacheCannotBeWritten) {
  write_file_atomically(cache(), std::string_view("a file, no folder"));

  try {
    Calibration calibration(cache() / "machine.sqlite", 1);
    ADD_FAILURE() << "was opened";
  } catch (const Error& error) {
    EXPECT_NE(error.hint().find("HPDLF_CACHE_DIR"), std::string::npos) << error.what();
  }
}

TEST_F(CalibrateTest, RefusesAMachineWithoutWorkers) {
  EXPECT_THROW((void)Calibration(cache(), 0), Error);
}

}  // namespace
}  // namespace hpdlf::runtime
