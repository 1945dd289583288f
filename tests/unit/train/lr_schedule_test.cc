#include "train/lr_schedule.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace hpdlf::train {
namespace {

// Reference values: torch.optim.lr_scheduler.OneCycleLR(opt, 2e-3, total_steps=200, pct_start=0.15).
TEST(OneCycle, EqualsPyTorch) {
  const ScheduleOptions options;

  EXPECT_NEAR(learning_rate(options, 0, 200), 8e-5, 1e-12);
  EXPECT_NEAR(learning_rate(options, 29, 200), 2e-3, 1e-12);
  EXPECT_NEAR(learning_rate(options, 114, 200), 1.0000040e-3, 1e-9);
  EXPECT_NEAR(learning_rate(options, 199, 200), 8e-9, 1e-15);
}

TEST(OneCycle, MomentumGoesAgainstTheRate) {
  const ScheduleOptions options;

  EXPECT_NEAR(cycled_momentum(options, 0, 200), 0.95, 1e-12);
  EXPECT_NEAR(cycled_momentum(options, 29, 200), 0.85, 1e-12);
  EXPECT_NEAR(cycled_momentum(options, 199, 200), 0.95, 1e-12);
}

TEST(OneCycle, SurvivesRunsShorterThanItsWarmup) {
  const ScheduleOptions options;

  EXPECT_GT(learning_rate(options, 0, 1), 0);
  EXPECT_LE(learning_rate(options, 2, 3), 2e-3);
}

TEST(Cosine, ClimbsThenEndsNearZero) {
  const ScheduleOptions options{.name = "cosine", .peak = 1, .warmup = 0.1};

  EXPECT_NEAR(learning_rate(options, 0, 100), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate(options, 9, 100), 1, 1e-12);
  EXPECT_LT(learning_rate(options, 99, 100), 1e-3);
}

TEST(Schedule, NamesTheNearestWhenUnknown) {
  try {
    (void)learning_rate({.name = "one_cylce"}, 0, 10);
    FAIL() << "an unknown schedule was taken";
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("did you mean `one_cycle`"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace hpdlf::train
