// Gradients and passes of small whole graphs, by numbers: what the text of the graph cannot show.
#include <cmath>
#include <functional>
#include <gtest/gtest.h>

#include "base/philox.hpp"
#include "graph/autodiff.hpp"
#include "graph/builder.hpp"
#include "graph/passes/pass.hpp"
#include "support/oracle.hpp"

namespace hpdlf::test {
namespace {

using graph::Builder;
using graph::Graph;
using graph::ValueId;

Tensor random_tensor(const graph::TensorType& type, std::uint64_t seed) {
  Tensor tensor(type);
  const Philox random(seed);
  std::uint64_t i = 0;
  for (float& x : tensor.as<float>()) x = 2 * random.uniform(i++) - 1;
  return tensor;
}

/// Loss of `graph` at its initial parameters, with `distance` added to element `at` of `parameter`.
float loss_at(const Graph& graph, const std::map<ValueId, Tensor>& inputs, ValueId parameter,
              std::size_t at, float distance) {
  Oracle oracle(graph, 1);
  oracle.value(parameter).as<float>()[at] += distance;
  oracle.step(inputs);
  return oracle.fetched("loss").as<float>()[0];
}

/// Every parameter's gradient at some elements against central differences of the graph itself, run in f32.
void expect_gradients_of_differences(Graph& graph) {
  const std::vector<graph::Gradient> gradients = graph::differentiate(graph, graph.find("loss"));
  graph::verify(graph);
  const std::map<ValueId, Tensor> inputs = {
      {graph.find("x"), random_tensor(graph.value(graph.find("x")).type, 2)}};
  Oracle oracle(graph, 1);
  oracle.step(inputs);
  ASSERT_FALSE(gradients.empty());
  for (const auto& [parameter, gradient] : gradients) {
    const auto quotient = [&, p = parameter](std::size_t at, float step) {
      return (loss_at(graph, inputs, p, at, step) - loss_at(graph, inputs, p, at, -step)) /
             (2 * step);
    };
    const auto values = oracle.value(gradient).as<float>();
    for (std::size_t at = 0; at < values.size(); at += 1 + values.size() / 5) {
      constexpr float kStep =
          1.0F / 64;  // large, because the loss is f32; two steps cancel the error of second order
      const float difference = (4 * quotient(at, kStep) - quotient(at, 2 * kStep)) / 3;
      EXPECT_NEAR(values[at], difference, 2e-3 * (1 + std::abs(difference)))
          << graph.value(parameter).name << " element " << at;
    }
  }
}

ValueId sum_of_squares(Builder& builder, ValueId y) {
  const ValueId loss = builder.op("loss", "ReduceSumSquare", {y}, {{"keepdims", std::int64_t{0}}});
  builder.graph().fetch("loss", loss);
  return loss;
}

const Builder::ConvOptions kSame{
    .out_channels = 4, .kernel = {3, 3}, .strides = {}, .pads = {1, 1}, .dilations = {}};

void build_skip(Builder& builder) {
  const ValueId x = builder.graph().add_input("x", {DType::f32, {2, 5, 6, 3}});
  const ValueId left = builder.op("left.act", "Tanh", {builder.conv("left", x, kSame)});
  const ValueId right = builder.conv("right", left, kSame);
  sum_of_squares(builder, builder.conv("mix", builder.concat("join", {left, right, left}), kSame));
}

void build_residual(Builder& builder) {
  const ValueId x = builder.graph().add_input("x", {DType::f32, {3, 5}});
  const ValueId base = builder.op("base", "Tanh", {builder.linear("fc1", x, 5)});
  const ValueId residual = builder.op("residual", "Add", {base, builder.linear("fc2", base, 5)});
  sum_of_squares(builder, builder.op("gated", "Mul", {residual, base}));
}

void build_shared_weight(Builder& builder) {
  const ValueId x = builder.graph().add_input("x", {DType::f32, {4, 4}});
  const ValueId w = builder.graph().add_parameter(
      "w", {DType::f32, {4, 4}}, {.kind = graph::Initializer::Kind::uniform, .a = -0.5, .b = 0.5});
  sum_of_squares(builder,
                 builder.op("second", "MatMul", {builder.op("first", "MatMul", {x, w}), w}));
}

void build_normalized(Builder& builder) {
  const ValueId x = builder.graph().add_input("x", {DType::f32, {2, 6, 6, 3}});
  const ValueId a = builder.instance_norm("norm1", builder.conv("conv1", x, kSame), 1e-5, "");
  const ValueId b =
      builder.batch_norm("norm2", builder.conv("conv2", a, kSame), true, 0.1, 1e-5, "");
  sum_of_squares(builder, builder.op("bounded", "Tanh", {b}));
}

/// The sums of a loss are f64, and have two readers.
void build_two_losses(Builder& builder) {
  const ValueId x = builder.graph().add_input("x", {DType::f32, {3, 5}});
  const ValueId labels = builder.graph().add_constant("labels", {DType::u8, {3}},
                                                      {std::byte{1}, std::byte{3}, std::byte{2}});
  const ValueId sums = builder.op("sums", "DiceSums", {builder.linear("fc", x, 4), labels});
  const ValueId loss = builder.op("loss", "Add",
                                  {builder.op("smooth", "DiceLoss", {sums}),
                                   builder.op("sharp", "DiceLoss", {sums}, {{"smooth_dr", 0.5}})});
  builder.graph().fetch("loss", loss);
}

class GraphGradientTest
    : public testing::TestWithParam<std::pair<const char*, void (*)(Builder&)>> {};

TEST_P(GraphGradientTest, EqualsDifferencesOfTheLoss) {
  Graph graph;
  Builder builder(graph);
  GetParam().second(builder);

  expect_gradients_of_differences(graph);
}

TEST_P(GraphGradientTest, EqualsDifferencesOfTheLossAfterPasses) {
  Graph graph;
  Builder builder(graph);
  GetParam().second(builder);
  graph::split_concat_conv(graph);

  expect_gradients_of_differences(graph);
}

INSTANTIATE_TEST_SUITE_P(Graphs, GraphGradientTest,
                         testing::Values(std::pair{"Skip", &build_skip},
                                         std::pair{"Residual", &build_residual},
                                         std::pair{"SharedWeight", &build_shared_weight},
                                         std::pair{"Normalized", &build_normalized},
                                         std::pair{"TwoLosses", &build_two_losses}),
                         [](const auto& info) { return std::string(info.param.first); });

TEST(SplitConcatConv, ComputesTheSameLoss) {
  Graph whole, split;
  Builder whole_builder(whole), split_builder(split);
  build_skip(whole_builder);
  build_skip(split_builder);
  graph::split_concat_conv(split);
  const Tensor x = random_tensor({DType::f32, {2, 5, 6, 3}}, 2);

  Oracle expected(whole, 1), actual(split, 1);
  expected.step({{whole.find("x"), x}});
  actual.step({{split.find("x"), x}});

  const float loss = expected.fetched("loss").as<float>()[0];
  EXPECT_NEAR(actual.fetched("loss").as<float>()[0], loss, 1e-5 * loss);
}

TEST(Oracle, BindsUpdatesAfterTheStep) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = graph.add_input("x", {DType::f32, {2}});
  const ValueId state = graph.add_state("state", {DType::f32, {2}}, {});
  graph.update(state, builder.op("next", "Add", {state, x}));
  graph.fetch("before", builder.relu("before", state));
  Tensor one({DType::f32, {2}});
  for (float& v : one.as<float>()) v = 1;

  Oracle oracle(graph);
  oracle.step({{x, one}});
  oracle.step({{x, one}});

  EXPECT_EQ(oracle.value(state).as<float>()[0], 2);
  EXPECT_EQ(oracle.fetched("before").as<float>()[0], 1);
}

TEST(Oracle, NamesAMissingInput) {
  Graph graph;
  graph.add_input("image", {DType::f32, {2}});
  Oracle oracle(graph);

  EXPECT_THROW(oracle.step({}), Error);
}

}  // namespace
}  // namespace hpdlf::test
