// Training steps give PyTorch's losses: same nets, weights and data (scripts/make_torch_trace.py, scripts/make_gpt2_trace.py).
#include <gtest/gtest.h>

#include "support/training.hpp"

namespace hpdlf::test {
namespace {

struct Trace {
  const char* name;
  std::size_t steps;
};

void expect_losses(const TrainingRun& run, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(run.losses[i], expected[i], 1e-4 * expected[i]) << "step " << i;
}

class TorchTrace : public testing::TestWithParam<Trace> {
 protected:
  const Fixture fixture_ = load_fixture(std::string(GetParam().name) + "_torch.safetensors");
};

TEST_P(TorchTrace, StepsGiveTheSameLosses) {
  const auto expected = fixture_.tensors.at("losses").as<double>();
  runtime::Session session({.cpu_workers = 2});

  const TrainingRun run =
      train_fixture(session, fixture_, "auto", static_cast<int>(expected.size()));

  ASSERT_EQ(expected.size(), GetParam().steps);
  expect_losses(run, expected);
}

TEST_P(TorchTrace, GradientsOfTheFirstStepEqualFloat64) {
  const auto errors = oracle_gradient_errors(fixture_);

  EXPECT_EQ(errors.size(), 6U);
  for (const auto& [name, error] : errors) EXPECT_LT(error, 2e-4) << name;
}

INSTANTIATE_TEST_SUITE_P(Nets, TorchTrace, testing::Values(Trace{"unet3d", 10}, Trace{"cicek", 5}),
                         [](const auto& info) { return std::string(info.param.name); });

class Gpt2Trace : public testing::Test {
 protected:
  const Fixture fixture_ = load_fixture("gpt2_torch.safetensors");
};

TEST_F(Gpt2Trace, StepsGiveTheSameLossesHoweverTheyAreCut) {
  const auto expected = fixture_.tensors.at("losses").as<double>();
  runtime::Session session({.cpu_workers = 2});

  ASSERT_EQ(expected.size(), 5U);
  for (const char* strategy : {"auto", "n:3", "t:4", "n:2 t:3", "channel", "tensor", "k:4"}) {
    SCOPED_TRACE(strategy);
    expect_losses(train_fixture(session, fixture_, strategy, 5), expected);
  }
}

TEST_F(Gpt2Trace, GradientsOfTheFirstStepEqualFloat64) {
  const auto errors = oracle_gradient_errors(fixture_);

  EXPECT_EQ(errors.size(), 7U);
  for (const auto& [name, error] : errors) EXPECT_LT(error, 2e-5) << name;
}

}  // namespace
}  // namespace hpdlf::test
