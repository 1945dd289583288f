// Ten training steps give PyTorch's losses: same net, weights and data (scripts/make_torch_trace.py).
#include <gtest/gtest.h>

#include "support/training.hpp"

namespace hpdlf::test {
namespace {

TEST(TorchTrace, TenStepsGiveTheSameLosses) {
  const Fixture fixture = load_fixture("unet3d_torch.safetensors");
  const auto expected = fixture.tensors.at("losses").as<double>();
  runtime::Session session({.cpu_workers = 2});

  const TrainingRun run =
      train_fixture(session, fixture, "auto", static_cast<int>(expected.size()));

  ASSERT_EQ(expected.size(), 10U);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(run.losses[i], expected[i], 1e-4 * expected[i]) << "step " << i;
}

TEST(TorchTrace, GradientsOfTheFirstStepEqualFloat64) {
  const auto errors = oracle_gradient_errors(load_fixture("unet3d_torch.safetensors"));

  EXPECT_EQ(errors.size(), 6U);
  for (const auto& [name, error] : errors) EXPECT_LT(error, 2e-4) << name;
}

}  // namespace
}  // namespace hpdlf::test
