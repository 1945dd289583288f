// Text of graphs before and after differentiation and each pass. The files show a reader what a pass does.
#include "graph/autodiff.hpp"
#include "graph/builder.hpp"
#include "graph/passes/pass.hpp"
#include "tests/support/golden.hpp"

namespace hpdlf::graph {
namespace {

using test::equals_golden;

/// Two branches of one input joined by a skip connection, as at one level of a U-Net; the concatenation feeds two convolutions.
Graph skip_connection() {
  Graph graph("skip");
  Builder builder(graph);
  const Builder::ConvOptions same{
      .out_channels = 4, .kernel = {3, 3}, .strides = {}, .pads = {1, 1}, .dilations = {}};
  Builder::ConvOptions head{.out_channels = 2,
                            .kernel = {1, 1},
                            .strides = {},
                            .pads = {},
                            .dilations = {},
                            .bias = false};
  const ValueId x = graph.add_input("image", {DType::f32, {1, 8, 8, 3}});
  const ValueId left = builder.relu("left.act", builder.conv("left", x, same));
  const ValueId right = builder.conv("right", left, same);
  const ValueId joined = builder.concat("join", {left, right});
  const ValueId out = builder.op(
      "out", "Add", {builder.conv("mix", joined, head), builder.conv("side", joined, head)});
  graph.fetch("loss", builder.op("loss", "ReduceSum", {out}, {{"keepdims", std::int64_t{0}}}));
  return graph;
}

void bind_gradients(Graph& graph) {
  for (const auto& [parameter, gradient] : differentiate(graph, graph.find("loss")))
    graph.fetch("d " + graph.value(parameter).name, gradient);
}

TEST(GraphText, OfASkipConnection) {
  const Graph graph = skip_connection();
  verify(graph);

  EXPECT_TRUE(equals_golden(print(graph), "skip"));
}

TEST(Differentiate, AppendsTheBackwardNodes) {
  Graph graph = skip_connection();

  bind_gradients(graph);

  verify(graph);
  EXPECT_TRUE(equals_golden(print(graph), "skip_gradient"));
}

TEST(SplitConcatConv, SumsOverThePartsAndDropsTheConcat) {
  Graph graph = skip_connection();

  split_concat_conv(graph);

  verify(graph);
  EXPECT_TRUE(equals_golden(print(graph), "skip_split_concat_conv"));
}

TEST(SplitConcatConv, GivesGradientsOfTheParts) {
  Graph graph = skip_connection();

  split_concat_conv(graph);
  bind_gradients(graph);

  verify(graph);
  EXPECT_TRUE(equals_golden(print(graph), "skip_split_concat_conv_gradient"));
}

TEST(SplitConcatConv, KeepsAConcatThatIsReadElsewhere) {
  Graph graph = skip_connection();
  graph.fetch("joined", graph.find("join"));

  split_concat_conv(graph);

  verify(graph);
  EXPECT_TRUE(equals_golden(print(graph), "skip_split_concat_conv_fetched"));
}

TEST(SplitConcatConv, LeavesGroupsAndOtherAxesAlone) {
  Graph graph("untouched");
  Builder builder(graph);
  const ValueId x = graph.add_input("x", {DType::f32, {1, 8, 8, 2}});
  const ValueId rows = builder.concat("rows", {x, x}, 1);
  const ValueId channels = builder.concat("channels", {x, x});
  builder.conv("over_rows", rows,
               {.out_channels = 2, .kernel = {1, 1}, .strides = {}, .pads = {}, .dilations = {}});
  builder.conv("grouped", channels,
               {.out_channels = 2,
                .kernel = {1, 1},
                .strides = {},
                .pads = {},
                .dilations = {},
                .groups = 2});
  const std::string before = print(graph);

  split_concat_conv(graph);

  EXPECT_EQ(print(graph), before);
}

/// Two convolutions, wide and large enough for Winograd to pay, around one with a stride; with their gradients.
Graph convolutions() {
  Graph graph("convolutions");
  Builder builder(graph);
  const auto conv = [&](const std::string& name, ValueId x, std::int64_t stride) {
    return builder.conv(name, x,
                        {.out_channels = 32,
                         .kernel = {3, 3, 3},
                         .strides = {stride, stride, stride},
                         .pads = {1, 1, 1}});
  };
  const ValueId x = graph.add_input("image", {DType::f32, {1, 8, 16, 16, 32}});
  const ValueId y = conv("third", conv("strided", conv("first", x, 1), 2), 1);
  graph.fetch("loss", builder.op("loss", "ReduceSum", {y}, {{"keepdims", std::int64_t{0}}}));
  bind_gradients(graph);
  return graph;
}

/// A convolution with a stride and its gradients, on planes large enough for Winograd to pay.
Graph strided_convolution() {
  Graph graph("strided");
  Builder builder(graph);
  const ValueId x = graph.add_input("image", {DType::f32, {1, 8, 64, 64, 32}});
  const ValueId pointwise = builder.conv("pointwise", x, {.out_channels = 32, .kernel = {1, 1, 1}});
  const ValueId y = builder.conv(
      "strided", pointwise,
      {.out_channels = 64, .kernel = {3, 3, 3}, .strides = {2, 2, 2}, .pads = {1, 1, 1}});
  graph.fetch("loss", builder.op("loss", "ReduceSum", {y}, {{"keepdims", std::int64_t{0}}}));
  bind_gradients(graph);
  return graph;
}

TEST(UseWinograd, TakesPhasesForTheGradientByXWhereTheStrideIs2) {
  Graph graph = strided_convolution();

  use_winograd(graph);

  verify(graph);
  EXPECT_TRUE(equals_golden(print(graph), "strided_use_winograd"));
}

TEST(UseWinograd, TakesItWhereItCostsLess) {
  Graph graph = convolutions();

  use_winograd(graph);

  verify(graph);
  EXPECT_TRUE(equals_golden(print(graph), "convolutions_use_winograd"));
}

TEST(UseWinograd, LeavesAGraphAloneWhereMemoryIsAllThatCosts) {
  Graph graph = convolutions();
  const std::string before = print(graph);

  use_winograd(graph, [](const OpCall& call) {
    const Cost cost = cost_of(call);
    return cost.bytes_read + cost.bytes_written;
  });

  EXPECT_EQ(print(graph), before);
}

/// A convolution by a kernel of `depth` x 3 x 3, where Winograd pays, with its gradients.
Graph deep_convolution(std::int64_t depth) {
  Graph graph("deep");
  Builder builder(graph);
  const ValueId x = graph.add_input("image", {DType::f32, {1, 24, 16, 16, 32}});
  const ValueId pointwise = builder.conv("pointwise", x, {.out_channels = 32, .kernel = {1, 1, 1}});
  const ValueId y = builder.conv("deep", pointwise,
                                 {.out_channels = 32, .kernel = {depth, 3, 3}, .pads = {0, 1, 1}});
  graph.fetch("loss", builder.op("loss", "ReduceSum", {y}, {{"keepdims", std::int64_t{0}}}));
  bind_gradients(graph);
  return graph;
}

TEST(UseWinograd, KeepsToDirectConvolutionsForDeepKernels) {
  for (const std::int64_t depth : {16, 17}) {
    Graph graph = deep_convolution(depth);
    const std::string before = print(graph);

    use_winograd(graph);

    verify(graph);
    EXPECT_EQ(print(graph) == before, depth > 16) << depth << " taps along D";
  }
}

TEST(FuseNormalize, DropsWhatOnlyWinogradConvolutionsRead) {
  Graph graph("normalized");
  Builder builder(graph);
  const Builder::ConvOptions conv{
      .out_channels = 32, .kernel = {3, 3, 3}, .pads = {1, 1, 1}, .bias = false};
  const ValueId x = graph.add_input("image", {DType::f32, {1, 8, 16, 16, 32}});
  const ValueId inner =
      builder.instance_norm("inner.norm", builder.conv("inner", x, conv), 1e-5, "Relu");
  const ValueId outer =
      builder.instance_norm("outer.norm", builder.conv("outer", inner, conv), 1e-5, "Relu");
  graph.fetch("loss", builder.op("loss", "ReduceSum", {outer}, {{"keepdims", std::int64_t{0}}}));
  bind_gradients(graph);

  optimize(graph);

  EXPECT_TRUE(equals_golden(print(graph), "normalized_optimize"));
}

/// A convolution that is normalised, pooled and joined by a scaled copy of the image, then a linear layer.
Graph mixed_operators() {
  Graph graph("mixed");
  Builder builder(graph);
  const ValueId x = graph.add_input("image", {DType::f32, {1, 8, 8, 4}});
  const ValueId scale = graph.add_parameter("scale", {DType::f32, {4}}, {});
  const ValueId y = builder.instance_norm(
      "norm",
      builder.conv("conv", x, {.out_channels = 4, .kernel = {3, 3}, .pads = {1, 1}, .bias = false}),
      1e-5, "Relu");
  const ValueId sum = builder.op("sum", "Add", {y, builder.op("scaled", "Mul", {x, scale})});
  const ValueId out = builder.linear("head", sum, 2);
  graph.fetch("out", out);
  graph.fetch("loss", builder.op("loss", "ReduceSum", {builder.relu("positive", out)},
                                 {{"keepdims", std::int64_t{0}}}));
  return graph;
}

TEST(UseBf16, CastsWhereTypesOfWriterAndReaderDiffer) {
  Graph graph = mixed_operators();

  use_bf16(graph);

  verify(graph);
  EXPECT_TRUE(equals_golden(print(graph), "mixed_use_bf16"));
}

TEST(UseBf16, GivesParametersF32Gradients) {
  Graph graph = mixed_operators();

  use_bf16(graph);
  bind_gradients(graph);
  optimize(graph);

  for (const auto& [name, value] : graph.fetches())
    EXPECT_EQ(graph.value(value).type.dtype, DType::f32) << name;
  EXPECT_TRUE(equals_golden(print(graph), "mixed_use_bf16_gradient"));
}

TEST(UseBf16, KeepsTheTypesOfAllOutputsThatAreFetchedOrUpdated) {
  for (const bool is_fetched : {true, false}) {
    Graph graph("split");
    Builder builder(graph);
    const ValueId x = graph.add_input("x", {DType::f32, {2, 3}});
    const auto parts = builder.split("parts", builder.linear("head", x, 6), -1, {2, 4});
    if (is_fetched)
      graph.fetch("last", parts[1]);
    else
      graph.update(graph.add_state("state", graph.value(parts[1]).type, {}), parts[1]);

    use_bf16(graph);

    EXPECT_NO_THROW(verify(graph));
    EXPECT_EQ(graph.value(parts[1]).type.dtype, DType::f32);
    EXPECT_EQ(graph.value(graph.find("head")).type.dtype, DType::bf16);
  }
}

TEST(UseBf16, KeepsTheTypeOfASumThatIsFetchedOrUpdatedInAllItsTerms) {
  for (const bool is_fetched : {true, false}) {
    Graph graph = skip_connection();
    const ValueId mix = graph.find("mix");
    if (is_fetched)
      graph.fetch("mix", mix);
    else
      graph.update(graph.add_state("state", graph.value(mix).type, {}), mix);

    split_concat_conv(graph);
    use_bf16(graph);

    EXPECT_NO_THROW(verify(graph));
    EXPECT_EQ(graph.value(mix).type.dtype, DType::f32);
    EXPECT_EQ(graph.value(graph.find("mix.part0")).type.dtype, DType::f32);
    EXPECT_EQ(graph.value(graph.find("side")).type.dtype, DType::bf16);
    EXPECT_EQ(graph.value(graph.find("side.part0")).type.dtype, DType::bf16);
  }
}

TEST(UseBf16, LeavesAGraphWithoutProductsAlone) {
  Graph graph("elementwise");
  Builder builder(graph);
  graph.fetch("y", builder.relu("y", graph.add_input("x", {DType::f32, {2, 3}})));
  const std::string before = print(graph);

  use_bf16(graph);

  EXPECT_EQ(print(graph), before);
}

TEST(UseWinograd, TransformsTheWeightsBehindACastToBf16) {
  Graph graph("convolutions");
  Builder builder(graph);
  const ValueId x = graph.add_input("image", {DType::f32, {1, 8, 16, 16, 32}});
  const Builder::ConvOptions conv{
      .out_channels = 32, .kernel = {3, 3, 3}, .pads = {1, 1, 1}, .bias = false};
  const ValueId y = builder.conv("second", builder.conv("first", x, conv), conv);
  graph.fetch("loss", builder.op("loss", "ReduceSum", {y}, {{"keepdims", std::int64_t{0}}}));

  use_bf16(graph);
  bind_gradients(graph);
  optimize(graph);

  EXPECT_TRUE(equals_golden(print(graph), "convolutions_bf16_optimize"));
}

TEST(Optimize, KeepsToDirectConvolutionsInStrictMath) {
  Graph graph = convolutions();
  Graph expected = convolutions();
  eliminate_dead_nodes(expected);

  optimize(graph, {.math = math_from("strict")});

  EXPECT_EQ(print(graph), print(expected));
  EXPECT_THROW((void)math_from("fats"), Error);
}

TEST(EliminateDeadNodes, KeepsWhatFetchesAndUpdatesNeed) {
  Graph graph = skip_connection();
  Builder builder(graph);
  builder.relu("unread", graph.find("mix"));
  const ValueId state = graph.add_state("state", graph.value(graph.find("side")).type, {});
  graph.update(state, builder.relu("next_state", graph.find("side")));

  eliminate_dead_nodes(graph);

  verify(graph);
  EXPECT_TRUE(equals_golden(print(graph), "skip_eliminate_dead_nodes"));
}

TEST(EliminateDeadNodes, KeepsWhatIsAddedToInPlace) {
  Graph graph = skip_connection();
  split_concat_conv(graph);
  const std::string before = print(graph);

  eliminate_dead_nodes(graph);

  EXPECT_EQ(print(graph), before);
}

}  // namespace
}  // namespace hpdlf::graph
