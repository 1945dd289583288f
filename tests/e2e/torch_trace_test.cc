// Training steps give PyTorch's losses: same net, weights and data (scripts/make_torch_trace.py, scripts/make_gpt2_trace.py).
#include <gtest/gtest.h>

#include "support/training.hpp"

namespace hpdlf::test {
namespace {

void expect_losses(const std::vector<double>& actual, const std::vector<double>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], 1e-4 * expected[i]) << "step " << i;
}

void expect_trace(runtime::Session& session, const Fixture& fixture, const std::string& strategy,
                  std::size_t steps) {
  const auto expected = fixture.tensors.at("losses").as<double>();
  ASSERT_EQ(expected.size(), steps);

  const TrainingRun run = train_fixture(session, fixture, strategy, static_cast<int>(steps));

  expect_losses(run.losses, expected);
}

TEST(TorchTrace, TenStepsGiveTheSameLosses) {
  runtime::Session session({.cpu_workers = 2});

  expect_trace(session, load_fixture("unet3d_torch.safetensors"), "auto", 10);
}

TEST(TorchTrace, GradientsOfTheFirstStepEqualFloat64) {
  const auto errors = oracle_gradient_errors(load_fixture("unet3d_torch.safetensors"));

  EXPECT_EQ(errors.size(), 6U);
  for (const auto& [name, error] : errors) EXPECT_LT(error, 2e-4) << name;
}

TEST(TorchTrace, FiveStepsOfGpt2GiveTheSameLossesHoweverItIsCut) {
  const Fixture fixture = load_fixture("gpt2_torch.safetensors");
  runtime::Session session({.cpu_workers = 2});

  for (const char* strategy : {"auto", "n:3", "t:4", "n:2 t:3", "channel", "k:4"}) {
    SCOPED_TRACE(strategy);
    expect_trace(session, fixture, strategy, 5);
  }
}

TEST(TorchTrace, GradientsOfGpt2sFirstStepEqualFloat64) {
  const auto errors = oracle_gradient_errors(load_fixture("gpt2_torch.safetensors"));

  EXPECT_EQ(errors.size(), 7U);
  for (const auto& [name, error] : errors) EXPECT_LT(error, 2e-5) << name;
}

}  // namespace
}  // namespace hpdlf::test
