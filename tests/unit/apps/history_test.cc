#include "apps/unet3d/history.hpp"

#include <gtest/gtest.h>

#include "support/temp_folder.hpp"
#include "train/metrics_log.hpp"

namespace hpdlf::apps {
namespace {

using Row = std::vector<train::MetricsLog::Scalar>;

TEST(History, IsWhatTheRunWroteUpToTheStepItWasResumedFrom) {
  const test::TempFolder folder;
  const std::vector<std::string> classes{"background", "ball", "marble, small"};
  {
    train::MetricsLog log(folder.path(), metric_columns(classes));
    for (int step = 1; step <= 6; ++step) {
      log.add(step, Row{{kLossColumn, 2.0 / step},
                        {kSoftDiceColumn, 0.1 * step},
                        {kLearningRateColumn, 1e-3 * step},
                        {kStepMsColumn, 250.0 + step}});
      if (step % 2 == 0)
        log.add(step, Row{{kMeanDiceColumn, 0.5},
                          {dice_column("ball"), 0.125 * step},
                          {dice_column("marble, small"), 0.0625 * step}});
    }
  }

  const train::MetricsLog resumed(folder.path(), metric_columns(classes), 4);
  const History history = read_history(folder / "metrics.csv", classes);

  ASSERT_EQ(history.steps.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto step = static_cast<double>(i + 1);
    EXPECT_EQ(history.steps[i].step, static_cast<std::int64_t>(i + 1));
    EXPECT_NEAR(history.steps[i].loss, 2.0 / step, 1e-8);
    EXPECT_NEAR(history.steps[i].soft_dice, 0.1 * step, 1e-8);
    EXPECT_NEAR(history.steps[i].learning_rate, 1e-3 * step, 1e-8);
    EXPECT_NEAR(history.steps[i].seconds, 0.25 + 1e-3 * step, 1e-8);
  }
  ASSERT_EQ(history.validations.size(), 2U);
  EXPECT_EQ(history.validations[1].step, 4);
  EXPECT_EQ(history.validations[1].dice, (std::vector<double>{0.5, 0.25}));
  EXPECT_EQ(history.validations[1].mean(), 0.375);
}

}  // namespace
}  // namespace hpdlf::apps
