// Training in bf16 follows training in f32: the losses differ by what bf16 rounds, and a run is repeated to the bit.
#include <gtest/gtest.h>

#include "support/training.hpp"

namespace hpdlf::test {
namespace {

constexpr int kSteps = 5;
/// An activation is rounded by at most 2^-9 of its size; the losses of these nets then differ by less than that.
constexpr double kRounding = 0x1p-9;

class Bf16 : public testing::TestWithParam<const char*> {
 protected:
  const Fixture fixture_ = load_fixture(std::string(GetParam()) + "_torch.safetensors");
};

TEST_P(Bf16, LossesAreNearThoseOfF32HoweverTheNetIsCut) {
  const auto expected = fixture_.tensors.at("losses").as<double>();
  runtime::Session session({.cpu_workers = 2});

  for (const char* strategy : {"whole", "auto", "n:2", "channel"}) {
    const TrainingRun run = train_fixture(session, fixture_, strategy, kSteps, DType::bf16);

    for (std::size_t i = 0; i < run.losses.size(); ++i)
      EXPECT_NEAR(run.losses[i], expected[i], kRounding * expected[i])
          << strategy << ", step " << i;
    EXPECT_LT(run.losses.back(), run.losses.front());
  }
}

TEST_P(Bf16, RunsAreBitEqualWhenRepeated) {
  runtime::Session session({.cpu_workers = 2});

  const TrainingRun first = train_fixture(session, fixture_, "auto", kSteps, DType::bf16);
  const TrainingRun second = train_fixture(session, fixture_, "auto", kSteps, DType::bf16);

  EXPECT_EQ(first.losses, second.losses);
  EXPECT_TRUE(first.first_parameter == second.first_parameter);
}

INSTANTIATE_TEST_SUITE_P(Nets, Bf16, testing::Values("unet3d", "cicek", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace hpdlf::test
