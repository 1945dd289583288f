// Splitting work changes no number beyond rounding, and the same run twice not at all.
#include <gtest/gtest.h>
#include <map>

#include "support/training.hpp"

namespace hpdlf::test {
namespace {

constexpr int kSteps = 5;

const Fixture& fixture() {
  static const Fixture f = load_fixture("unet3d_torch.safetensors");
  return f;
}

const std::vector<double>& whole_losses() {
  static const std::vector<double> losses = oracle_losses(fixture(), kSteps);
  return losses;
}

struct Setting {
  int workers;
  const char* scheduler;
};

class Splits : public testing::TestWithParam<Setting> {};

TEST_P(Splits, GiveTheLossesOfTheWhole) {
  const std::vector<double>& expected = whole_losses();
  runtime::Session session({.cpu_workers = GetParam().workers, .scheduler = GetParam().scheduler});

  for (const char* strategy : {"whole", "d:2", "d:4", "d:2 h:2", "channel", "sample", "auto"}) {
    const TrainingRun run = train_fixture(session, fixture(), strategy, kSteps);

    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(run.losses[i], expected[i], 1e-5 * expected[i]) << strategy << ", step " << i;
  }
}

TEST_P(Splits, AreBitEqualWhenRepeated) {
  runtime::Session session({.cpu_workers = GetParam().workers, .scheduler = GetParam().scheduler});

  const TrainingRun first = train_fixture(session, fixture(), "d:4", kSteps);
  const TrainingRun second = train_fixture(session, fixture(), "d:4", kSteps);

  EXPECT_EQ(first.losses, second.losses);
  EXPECT_TRUE(first.first_parameter == second.first_parameter);
}

INSTANTIATE_TEST_SUITE_P(WorkersAndSchedulers, Splits,
                         testing::Values(Setting{1, "lws"}, Setting{1, "dmdas"}, Setting{1, "prio"},
                                         Setting{2, "lws"}, Setting{2, "dmdas"}, Setting{2, "prio"},
                                         Setting{4, "lws"}, Setting{4, "dmdas"},
                                         Setting{4, "prio"}),
                         [](const auto& info) {
                           return std::string(info.param.scheduler) + "_" +
                                  std::to_string(info.param.workers);
                         });

}  // namespace
}  // namespace hpdlf::test
