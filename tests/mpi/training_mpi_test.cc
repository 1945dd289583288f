// Training on several ranks gives the losses of one: data parallel (sample) and slabs with halos (space).
#include <gtest/gtest.h>

#include "support/training.hpp"

namespace hpdlf::test {
namespace {

TEST(DistributedTraining, GivesTheLossesOfOneRank) {
  constexpr int kSteps = 3;
  const Fixture fixture = load_fixture("unet3d_torch.safetensors");
  const std::vector<double> expected = oracle_losses(fixture, kSteps);
  runtime::Session session({.cpu_workers = 1});

  for (const char* strategy : {"sample", "space"}) {
    const TrainingRun run = train_fixture(session, fixture, strategy, kSteps);

    for (int i = 0; i < kSteps; ++i)
      EXPECT_NEAR(run.losses[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(i)],
                  1e-5 * expected[static_cast<std::size_t>(i)])
          << strategy << " on " << session.ranks() << " ranks, step " << i;
  }
}

}  // namespace
}  // namespace hpdlf::test
