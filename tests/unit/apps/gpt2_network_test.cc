#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <map>

#include "apps/transformer/network.hpp"
#include "base/philox.hpp"
#include "graph/autodiff.hpp"
#include "graph/builder.hpp"
#include "graph/op_spec.hpp"
#include "support/oracle.hpp"

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

/// Loss, its gradient by x and by the table.
std::vector<std::vector<float>> loss_and_gradients(
    const std::function<graph::ValueId(graph::Builder&, graph::ValueId x, graph::ValueId table,
                                       graph::ValueId targets)>& loss_of) {
  constexpr std::int64_t kBatch = 3, kLength = 300, kChannels = 4, kWords = 11;
  graph::Graph g("head");
  graph::Builder b(g);
  const graph::ValueId x = g.add_input("x", {DType::f32, {kBatch, kLength, kChannels}});
  const graph::ValueId table = g.add_input("table", {DType::f32, {kWords, kChannels}});
  const graph::ValueId targets = g.add_input("targets", {DType::i32, {kBatch, kLength}});
  const graph::ValueId loss = loss_of(b, x, table, targets);
  const std::vector<graph::Gradient> gradients = graph::differentiate(g, loss, {x, table});

  std::map<graph::ValueId, test::Tensor> inputs;
  const Philox random(5);
  for (const graph::ValueId id : {x, table}) {
    test::Tensor& tensor = inputs.emplace(id, g.value(id).type).first->second;
    std::uint64_t i = 1000 * static_cast<std::uint64_t>(id);
    for (float& v : tensor.as<float>()) v = 4 * random.uniform(i++) - 2;
  }
  test::Tensor& labels = inputs.emplace(targets, g.value(targets).type).first->second;
  std::uint64_t i = 1;
  for (std::int32_t& label : labels.as<std::int32_t>())
    label = static_cast<std::int32_t>(kWords * random.uniform(i++));
  test::Oracle oracle(g);
  oracle.step(inputs);

  std::vector<std::vector<float>> results;
  for (const graph::ValueId id : {loss, gradients[0].gradient, gradients[1].gradient}) {
    const auto values = oracle.value(id).as<float>();
    results.emplace_back(values.begin(), values.end());
  }
  return results;
}

TEST(Gpt2, LossOfPiecesOfTheSequencesIsThatOfWholeLogits) {
  const auto in_pieces = loss_and_gradients(
      [](graph::Builder& b, graph::ValueId x, graph::ValueId table, graph::ValueId targets) {
        const graph::ValueId loss = language_model_loss(b, x, table, targets);
        EXPECT_EQ(nodes_of(b.graph(), "LmHeadSums"), 4);  // 85 tokens of 3 sequences each, then 45
        return loss;
      });
  const auto whole = loss_and_gradients([](graph::Builder& b, graph::ValueId x,
                                           graph::ValueId table, graph::ValueId targets) {
    const graph::ValueId logits =
        b.op("logits", "Linear", {x, table}, {{"contracted", std::int64_t{1}}});
    return b.op("loss", "CrossEntropyLoss", {b.op("sums", "CrossEntropySums", {logits, targets})});
  });

  for (std::size_t r = 0; r < whole.size(); ++r) {
    ASSERT_EQ(in_pieces[r].size(), whole[r].size());
    for (std::size_t i = 0; i < whole[r].size(); ++i)
      EXPECT_NEAR(in_pieces[r][i], whole[r][i], 1e-6 * (1 + 10 * std::abs(whole[r][i])))
          << r << ", " << i;
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
