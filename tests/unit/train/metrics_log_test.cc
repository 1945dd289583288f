#include "train/metrics_log.hpp"

#include <cmath>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/atomic_file.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;
using Row = std::vector<MetricsLog::Scalar>;

class MetricsLogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "hpdlf-metrics-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] std::string csv() const { return read_text_file(folder_ / "metrics.csv"); }
  fs::path folder_;
};

TEST_F(MetricsLogTest, WritesEachRowAtOnceAndLeavesAbsentValuesEmpty) {
  MetricsLog log(folder_, {"train/loss", "dice, mean"});
  log.add(0, Row{{"train/loss", 1.5}});
  log.add(1, Row{{"dice, mean", 0.25}, {"train/loss", std::nan("")}});

  EXPECT_EQ(csv(), "step,train/loss,\"dice, mean\"\n0,1.5,\n1,nan,0.25\n");
  EXPECT_FALSE(fs::is_empty(folder_ / "tensorboard"));
}

TEST_F(MetricsLogTest, DropsRowsAfterTheResumedStepAndATornOne) {
  {
    MetricsLog log(folder_, {"loss"});
    for (int step = 0; step < 5; ++step) log.add(step, Row{{"loss", step}});
  }
  std::ofstream(folder_ / "metrics.csv", std::ios::app) << "1,0.";  // killed while writing

  MetricsLog log(folder_, {"loss"}, 2);
  log.add(3, Row{{"loss", 30}});

  EXPECT_EQ(csv(), "step,loss\n0,0\n1,1\n2,2\n3,30\n");
}

TEST_F(MetricsLogTest, StartsAfreshWithoutAStepToResumeFrom) {
  { MetricsLog(folder_, {"loss"}).add(0, Row{{"loss", 1}}); }

  const MetricsLog log(folder_, {"other"});

  EXPECT_EQ(csv(), "step,other\n");
}

TEST_F(MetricsLogTest, ReadsItsRowsBack) {
  MetricsLog log(folder_, {"loss", "dice \"a\", b"});
  log.add(1, Row{{"loss", 0.1}});
  log.add(2, Row{{"loss", 1e-30}, {"dice \"a\", b", 0.5}});
  std::ofstream(folder_ / "metrics.csv", std::ios::app) << "3,0.";  // torn

  const auto curves = read_metrics(folder_ / "metrics.csv");

  using Points = std::vector<std::pair<double, double>>;
  EXPECT_EQ(curves.at("loss"), (Points{{1, 0.1}, {2, 1e-30}}));
  EXPECT_EQ(curves.at("dice \"a\", b"), (Points{{2, 0.5}}));
}

TEST_F(MetricsLogTest, RejectsOtherColumnsOnResumeAndUnknownNames) {
  MetricsLog log(folder_, {"loss"});

  EXPECT_THROW(log.add(0, Row{{"los", 1}}), InternalError);
  try {
    const MetricsLog other(folder_, {"loss", "dice"}, 1);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("step,loss,"),
                                             testing::HasSubstr("step,loss,dice")));
  }
}

}  // namespace
}  // namespace hpdlf::train
