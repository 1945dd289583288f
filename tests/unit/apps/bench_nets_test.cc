// The nets of `hpdlf bench` are those of scripts/torch_bench.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/bench/step.hpp"

namespace hpdlf::apps {
namespace {

TEST(BenchNets, HaveTheParametersOfThePyTorchNets) {
  EXPECT_EQ(make_bench_net("mlperf", {.size = 32}).graph->parameter_count(), 31190243);
  EXPECT_EQ(make_bench_net("cicek", {.size = 16}).graph->parameter_count(), 19071459);
  EXPECT_EQ(make_bench_net("unet3d", {.size = 8}).graph->parameter_count(), 1401333);
  EXPECT_EQ(make_bench_net("mlp", {}).graph->parameter_count(),
            784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10);
}

TEST(BenchNets, HaveEveryInputOfTheirGraph) {
  for (const auto& info : bench_nets()) {
    const BenchNet net = make_bench_net(info.name, {});
    for (const auto& value : net.graph->values())
      if (value.role == graph::Role::input) {
        ASSERT_TRUE(net.inputs.contains(value.name)) << info.name << ": " << value.name;
        EXPECT_EQ(net.inputs.at(value.name)->type, value.type) << info.name << ": " << value.name;
      }
    EXPECT_EQ(net.graph->fetches().front().second, net.loss) << info.name;
  }
}

TEST(BenchNets, LabelsTakeEveryClass) {
  const BenchNet net = make_bench_net("mlperf", {.size = 32});

  std::vector<int> count(256);
  for (const auto k : net.inputs.at("labels")->as<std::uint8_t>()) ++count[k];

  const double third = 32 * 32 * 32 / 3.0;
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(count[k], third, 0.05 * third);
  EXPECT_EQ(count[0] + count[1] + count[2], 32 * 32 * 32);
}

TEST(BenchNets, UnknownOneIsAnErrorThatNamesTheNearest) {
  try {
    (void)make_bench_net("clicek", {});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::AllOf(testing::HasSubstr("did you mean `cicek`?"),
                                         testing::HasSubstr("mlperf, cicek")));
  }
}

TEST(BenchNets, RejectASizeThatTheyDoNotHave) {
  EXPECT_THROW((void)make_bench_net("mlp", {.size = 64}), Error);
  EXPECT_THROW((void)make_bench_net("mlperf", {.seq = 64}), Error);
}

TEST(DirectFlops, CountForwardAndTheGradientsThatAreNeeded) {
  // Nothing trained comes before the first layer: it has no gradient by its input.
  const double batch = 7;
  const double expected = 2 * batch * (2 * 784 * 128 + 3 * 128 * 64 + 3 * 64 * 10);

  EXPECT_EQ(direct_flops(*make_bench_net("mlp", {.batch = 7}).graph), expected);
}

TEST(BenchStep, RejectsOtherTypes) {
  EXPECT_THROW((void)bench_step({.net = "mlp", .dtype = "f16"}), Error);
}

}  // namespace
}  // namespace hpdlf::apps
