// Ten training steps give PyTorch's losses: same net, weights and data (scripts/make_torch_trace.py).
#include <gtest/gtest.h>

#include "support/training.hpp"

namespace hpdlf::test {
namespace {

TEST(TorchTrace, TenStepsGiveTheSameLosses) {
  const Fixture fixture = load_fixture("unet3d_torch.safetensors");
  const auto expected = fixture.tensors.at("losses").as<double>();
  runtime::Session session({.cpu_workers = 2});

  const TrainingRun run = train_fixture(session, fixture, "auto", static_cast<int>(expected.size()));

  ASSERT_EQ(expected.size(), 10U);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(run.losses[i], expected[i], 1e-4 * expected[i]) << "step " << i;
}

}  // namespace
}  // namespace hpdlf::test
