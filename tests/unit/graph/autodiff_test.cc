#include "graph/autodiff.hpp"

#include <algorithm>
#include <gmock/gmock.h>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

const TensorType kSquare{DType::f32, {4, 4}};

class AutodiffTest : public testing::Test {
 protected:
  ValueId node(std::string_view op, std::vector<ValueId> inputs, const std::string& name,
               Attrs attrs = {}) {
    return graph.output(graph.add_node(op, std::move(inputs), attrs, name));
  }
  ValueId parameter(const std::string& name) { return graph.add_parameter(name, kSquare, {}); }
  ValueId total(ValueId x) {
    return node("ReduceSum", {x}, "loss", {{"keepdims", std::int64_t{0}}});
  }
  [[nodiscard]] int count(std::string_view op) const {
    return static_cast<int>(std::count_if(graph.nodes().begin(), graph.nodes().end(),
                                          [&](const Node& n) { return n.spec->name == op; }));
  }
  [[nodiscard]] const Node& producer(ValueId value) const {
    return graph.node(graph.value(value).producer);
  }

  Graph graph;
  ValueId x = graph.add_input("x", kSquare);
};

TEST_F(AutodiffTest, GivesParametersInTheirOrderAndSkipsThoseWithoutInfluence) {
  const ValueId a = parameter("a");
  parameter("unused");
  const ValueId b = parameter("b");
  const ValueId loss = total(node("MatMul", {node("MatMul", {x, b}, "first"), a}, "second"));

  const std::vector<Gradient> gradients = differentiate(graph, loss);

  ASSERT_EQ(gradients.size(), 2U);
  EXPECT_EQ(gradients[0].parameter, a);
  EXPECT_EQ(gradients[1].parameter, b);
  EXPECT_NO_THROW(verify(graph));
}

TEST_F(AutodiffTest, BackwardNodesInheritTheLayerAndArePhaseBackward) {
  const ValueId w = parameter("w");
  const ValueId y = node("MatMul", {x, w}, "fc");
  graph.node(graph.value(y).producer).layer = "encoder";

  const std::vector<Gradient> gradients = differentiate(graph, total(y));

  EXPECT_EQ(producer(gradients[0].gradient).phase, Phase::backward);
  EXPECT_EQ(producer(gradients[0].gradient).layer, "encoder");
  EXPECT_THAT(producer(gradients[0].gradient).name, testing::StartsWith("fc.grad"));
}

TEST_F(AutodiffTest, ComputesNoGradientThatNobodyWants) {
  const ValueId w = parameter("w");
  const ValueId loss = total(node("MatMul", {node("Relu", {x}, "act"), w}, "fc"));

  (void)differentiate(graph, loss);

  EXPECT_EQ(count("ReluGrad"), 0);
  EXPECT_EQ(count("MatMul"), 2);  // the product itself and the gradient by w
}

TEST_F(AutodiffTest, SecondReaderOfAValueAddsToTheGradientInPlace) {
  const ValueId w = parameter("w");
  const ValueId shared = node("Relu", {w}, "shared");
  const ValueId sum = node(
      "Add", {node("MatMul", {x, shared}, "left"), node("MatMul", {shared, x}, "right")}, "sum");

  (void)differentiate(graph, total(sum));

  EXPECT_EQ(count("Add"), 1) << "only the forward one";
  const auto adds = [](const Node& n) { return n.accumulate != kNone; };
  ASSERT_EQ(std::count_if(graph.nodes().begin(), graph.nodes().end(), adds), 1);
  const Node& adder = *std::find_if(graph.nodes().begin(), graph.nodes().end(), adds);
  EXPECT_EQ(adder.spec->name, "MatMul");
  EXPECT_NO_THROW(verify(graph));
}

TEST_F(AutodiffTest, ReadersWhoseGradientIsPassedThroughAreAddedOutOfPlace) {
  const ValueId w = parameter("w");
  const ValueId base = node("Relu", {w}, "base");
  const ValueId residual = node("Add", {base, node("MatMul", {base, x}, "branch")}, "residual");

  (void)differentiate(graph, total(residual));

  // The gradient of `residual` is that of `base` and of `branch` alike: adding to it in place would change both.
  EXPECT_EQ(count("Add"), 2);
  EXPECT_NO_THROW(verify(graph));
}

TEST_F(AutodiffTest, OperatorThatReadsAValueTwiceGivesTwoContributions) {
  const ValueId w = parameter("w");

  const std::vector<Gradient> gradients =
      differentiate(graph, total(node("Mul", {w, w}, "square")));

  ASSERT_EQ(gradients.size(), 1U);
  EXPECT_EQ(producer(gradients[0].gradient).spec->name, "Add");
  EXPECT_NO_THROW(verify(graph));
}

TEST_F(AutodiffTest, JoinsTheGradientsOfTwoReadersOfAnF64Value) {
  const ValueId labels = graph.add_input("labels", {DType::u8, {4}});
  const ValueId sums = node("CrossEntropySums", {parameter("logits"), labels}, "sums");
  const ValueId loss =
      node("Add",
           {node("CrossEntropyLoss", {sums}, "first"), node("CrossEntropyLoss", {sums}, "second")},
           "loss");

  const std::vector<Gradient> gradients = differentiate(graph, loss);

  ASSERT_EQ(gradients.size(), 1U);
  EXPECT_EQ(graph.value(graph.find("sums.grad_sum")).type, graph.value(sums).type);
  EXPECT_NO_THROW(verify(graph));
}

TEST_F(AutodiffTest, GradientFlowsThroughAnAccumulatingNode) {
  const ValueId a = parameter("a");
  const ValueId b = parameter("b");
  const ValueId first = node("MatMul", {x, a}, "first");
  const ValueId second = node("MatMul", {x, b}, "second");
  graph.node(graph.value(second).producer).accumulate = first;

  const std::vector<Gradient> gradients = differentiate(graph, total(second));

  ASSERT_EQ(gradients.size(), 2U);
  EXPECT_EQ(producer(gradients[0].gradient).inputs, producer(gradients[1].gradient).inputs);
  EXPECT_NO_THROW(verify(graph));
}

TEST_F(AutodiffTest, SeedsStartTheSweepAtAnyValue) {
  const ValueId w = parameter("w");
  const ValueId y = node("Relu", {w}, "act");
  const ValueId dy = graph.add_input("dy", kSquare);

  const std::vector<Gradient> gradients = differentiate(graph, {{y, dy}}, {w});

  ASSERT_EQ(gradients.size(), 1U);
  EXPECT_EQ(producer(gradients[0].gradient).spec->name, "ReluGrad");
  EXPECT_EQ(producer(gradients[0].gradient).inputs.back(), dy);
}

TEST_F(AutodiffTest, LossOfMoreThanOneElementIsAnError) {
  EXPECT_THAT([&] { (void)differentiate(graph, node("Relu", {parameter("w")}, "act")); },
              ThrowsMessage<Error>(testing::AllOf(HasSubstr("`act`"), HasSubstr("f32[4,4]"))));
}

TEST_F(AutodiffTest, OperatorWithoutGradientIsNamed) {
  const ValueId w = parameter("w");
  const ValueId dead_end = node("ReluGrad", {w, x}, "dead_end");

  EXPECT_THAT([&] { (void)differentiate(graph, total(dead_end)); },
              ThrowsMessage<Error>(HasSubstr("node \"dead_end\" (ReluGrad) has no gradient")));
}

TEST_F(AutodiffTest, LossOfAnOutputThatIsForItsGradientAloneIsAnError) {
  const ValueId targets = graph.add_input("targets", {DType::i32, {4}});
  const NodeId head =
      graph.add_node("LmHeadSums", {x, parameter("table"), parameter("rows"), targets}, {}, "head");

  EXPECT_THAT([&] { (void)differentiate(graph, total(graph.output(head, 1))); },
              ThrowsMessage<Error>(HasSubstr("output 1 of node \"head\" (LmHeadSums)")));
}

}  // namespace
}  // namespace hpdlf::graph
