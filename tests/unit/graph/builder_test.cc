#include "graph/builder.hpp"

#include <cmath>
#include <gmock/gmock.h>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

class BuilderTest : public testing::Test {
 protected:
  [[nodiscard]] const Value& value(std::string_view name) const {
    return graph.value(graph.find(name));
  }

  Graph graph;
  Builder builder{graph};
  ValueId x = graph.add_input("x", {DType::f32, {2, 9, 8, 7, 6}});
};

TEST_F(BuilderTest, ConvolutionHasPyTorchsShapesAndInitialRange) {
  const ValueId y = builder.conv("c", x,
                                 {.out_channels = 4,
                                  .kernel = {3, 3, 1},
                                  .strides = {2, 1, 1},
                                  .pads = {1, 1, 0},
                                  .dilations = {},
                                  .groups = 2});

  EXPECT_EQ(builder.type(y).extents, (Extents{2, 5, 8, 7, 4}));
  EXPECT_EQ(value("c.weight").type.extents, (Extents{4, 3, 3, 1, 3}));
  EXPECT_EQ(value("c.bias").type.extents, (Extents{4}));
  EXPECT_DOUBLE_EQ(value("c.weight").init.b,
                   1 / std::sqrt(27.0));  // fan in: 3 channels a group * 9 taps
  EXPECT_NO_THROW(verify(graph));
}

TEST_F(BuilderTest, TransposedConvolutionUndoesTheStride) {
  const ValueId y = builder.conv_transpose("up", x,
                                           {.out_channels = 3,
                                            .kernel = {2, 2, 2},
                                            .strides = {2, 2, 2},
                                            .pads = {},
                                            .dilations = {},
                                            .bias = false});

  EXPECT_EQ(builder.type(y).extents, (Extents{2, 18, 16, 14, 3}));
  EXPECT_EQ(value("up.weight").type.extents, (Extents{6, 2, 2, 2, 3}));
  EXPECT_DOUBLE_EQ(value("up.weight").init.b,
                   1 / std::sqrt(24.0));  // torch counts output channels * taps
}

TEST_F(BuilderTest, InstanceNormIsMomentsAndNormalize) {
  const ValueId y = builder.instance_norm("norm", x, 1e-5, "Relu");

  EXPECT_EQ(builder.type(y), builder.type(x));
  EXPECT_EQ(value("norm.moments").type, (TensorType{DType::f64, {2, 2, 6}}));
  EXPECT_EQ(value("norm.weight").init.a, 1);
  EXPECT_EQ(value("norm.bias").init.a, 0);
}

TEST_F(BuilderTest, BatchNormUpdatesRunningStatisticsInTrainingOnly) {
  builder.batch_norm("train", x, true);
  builder.batch_norm("eval", x, false);

  ASSERT_EQ(graph.updates().size(), 2U);
  EXPECT_EQ(graph.updates()[0].first, graph.find("train.running_mean"));
  EXPECT_EQ(graph.updates()[1].first, graph.find("train.running_var"));
  EXPECT_EQ(value("train.moments").type.extents, (Extents{1, 2, 6}));
  EXPECT_NO_THROW(verify(graph));
}

TEST_F(BuilderTest, LinearActsOnTheLastDimension) {
  const ValueId tokens = graph.add_input("tokens", {DType::f32, {2, 5, 6}});
  const ValueId rows = graph.add_input("rows", {DType::f32, {2, 6}});

  EXPECT_EQ(builder.type(builder.linear("a", tokens, 3)).extents, (Extents{2, 5, 3}));
  EXPECT_EQ(builder.type(builder.linear("b", rows, 3)).extents, (Extents{2, 3}));
  EXPECT_EQ(value("a.weight").type.extents, (Extents{3, 6}));
}

TEST_F(BuilderTest, LinearGroupsDimensions) {
  const ValueId tokens = graph.add_input("tokens", {DType::f32, {2, 5, 6}});

  const ValueId heads = builder.linear("to", tokens, {.out_features = {4, 3}});
  const ValueId back = builder.linear("from", heads, {.out_features = {6}, .contracted = 2});

  EXPECT_EQ(builder.type(heads).extents, (Extents{2, 5, 4, 3}));
  EXPECT_EQ(value("to.weight").type.extents, (Extents{4, 3, 6}));
  EXPECT_EQ(builder.type(back).extents, (Extents{2, 5, 6}));
  EXPECT_EQ(value("from.weight").type.extents, (Extents{6, 4, 3}));
  EXPECT_DOUBLE_EQ(value("from.weight").init.b, 1 / std::sqrt(12.0));
  EXPECT_THROW(builder.linear("none left", tokens, {.out_features = {6}, .contracted = 3}), Error);
}

TEST_F(BuilderTest, LayerNormStartsAsThePlainOne) {
  const ValueId tokens = graph.add_input("tokens", {DType::f32, {2, 5, 6}});

  const ValueId y = builder.layer_norm("ln", tokens);

  EXPECT_EQ(builder.type(y), builder.type(tokens));
  EXPECT_EQ(value("ln.weight").type.extents, (Extents{6}));
  EXPECT_EQ(value("ln.weight").init.a, 1);
}

TEST_F(BuilderTest, NodesCarryTheLayerOfTheScope) {
  {
    const Builder::LayerScope scope(builder, "encoder");
    builder.relu("inside", x);
  }
  builder.relu("outside", x);

  EXPECT_EQ(graph.nodes()[0].layer, "encoder");
  EXPECT_EQ(graph.nodes()[1].layer, "outside");
}

TEST_F(BuilderTest, GroupsThatDoNotDivideChannelsAreAnError) {
  EXPECT_THAT(
      [&] {
        builder.conv("c", x,
                     {.out_channels = 4,
                      .kernel = {3, 3, 3},
                      .strides = {},
                      .pads = {},
                      .dilations = {},
                      .groups = 4});
      },
      testing::ThrowsMessage<Error>(testing::HasSubstr("4 groups do not divide 6 input")));
}

TEST_F(BuilderTest, KernelOfAnotherRankIsAnError) {
  EXPECT_THAT(
      [&] {
        builder.conv(
            "c", x,
            {.out_channels = 4, .kernel = {3, 3}, .strides = {}, .pads = {}, .dilations = {}});
      },
      testing::ThrowsMessage<Error>(testing::HasSubstr("needs rank 4")));
}

}  // namespace
}  // namespace hpdlf::graph
