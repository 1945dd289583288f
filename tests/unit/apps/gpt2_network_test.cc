#include <algorithm>
#include <gtest/gtest.h>

#include "apps/transformer/network.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::apps {
namespace {

constexpr Gpt2Options kSmall{
    .layers = 2, .heads = 2, .channels = 8, .vocabulary = 11, .context = 6};

std::ptrdiff_t nodes_of(const graph::Graph& g, std::string_view op) {
  return std::count_if(g.nodes().begin(), g.nodes().end(),
                       [&](const graph::Node& node) { return node.spec->name == op; });
}

TEST(Gpt2, HasTheParametersOfThe124MModel) {
  EXPECT_EQ(gpt2_training_graph(1, 64, {}, {})->parameter_count(), 124439808);
}

TEST(Gpt2, TrainsEveryParameter) {
  const auto g = gpt2_training_graph(2, 5, kSmall, {});

  const auto parameters =
      std::count_if(g->values().begin(), g->values().end(),
                    [](const graph::Value& v) { return v.role == graph::Role::parameter; });
  EXPECT_EQ(nodes_of(*g, "AdamW"), parameters);
}

TEST(Gpt2, ResidualGradientsAreAddedInPlace) {
  const auto g = gpt2_training_graph(2, 5, kSmall, {});

  for (const auto& node : g->nodes())
    if (node.phase == graph::Phase::backward) {
      EXPECT_NE(node.spec->name, "Add") << node.name;
      if (node.spec->name == "GatherGrad") EXPECT_NE(node.accumulate, graph::kNone);
    }
}

TEST(Gpt2, RejectsWhatDoesNotFit) {
  EXPECT_THROW((void)gpt2_training_graph(1, 7, kSmall, {}), Error);
  Gpt2Options odd = kSmall;
  odd.heads = 3;
  EXPECT_THROW((void)gpt2_training_graph(1, 4, odd, {}), Error);
}

}  // namespace
}  // namespace hpdlf::apps
