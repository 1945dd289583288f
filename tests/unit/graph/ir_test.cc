#include "graph/ir.hpp"

#include <gmock/gmock.h>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

const TensorType kMatrix{DType::f32, {4, 6}};

TEST(Graph, InfersOutputTypes) {
  Graph graph;
  const ValueId a = graph.add_input("a", kMatrix);
  const ValueId b = graph.add_input("b", {DType::f32, {6, 5}});

  const NodeId node = graph.add_node("MatMul", {a, b}, {}, "fc");

  EXPECT_EQ(graph.value(graph.output(node)).type, (TensorType{DType::f32, {4, 5}}));
  EXPECT_EQ(graph.value(graph.output(node)).producer, node);
  EXPECT_EQ(graph.value(graph.output(node)).name, "fc");
  EXPECT_NO_THROW(verify(graph));
}

TEST(Graph, CompletesAttributes) {
  Graph graph;
  const ValueId x = graph.add_input("x", kMatrix);

  const NodeId node = graph.add_node("LeakyRelu", {x}, {}, "a");

  EXPECT_TRUE(graph.node(node).attrs.has("alpha"));
}

TEST(Graph, NamesNodeOperatorAndOperandsWhenInferenceFails) {
  Graph graph;
  const ValueId a = graph.add_input("a", kMatrix);
  const ValueId b = graph.add_input("b", {DType::f32, {7, 5}});

  EXPECT_THAT(
      [&] {
        graph.add_node("MatMul", {a, b}, {}, "fc1");
      },
      ThrowsMessage<Error>(AllOf(HasSubstr("node \"fc1\" (MatMul): "),
                                 HasSubstr("f32[4,6], f32[7,5]"), HasSubstr("hpdlf ops MatMul"))));
}

TEST(Graph, NamesTheNearestOperatorAndAttribute) {
  Graph graph;
  const ValueId a = graph.add_input("a", kMatrix);

  EXPECT_THAT(
      [&] {
        graph.add_node("MatMull", {a, a}, {}, "fc");
      },
      ThrowsMessage<Error>(AllOf(HasSubstr("node \"fc\""), HasSubstr("did you mean `MatMul`?"))));
  EXPECT_THAT(
      [&] {
        graph.add_node("MatMul", {a, a}, {{"trans_c", std::int64_t{1}}}, "fc");
      },
      ThrowsMessage<Error>(HasSubstr("did you mean `trans_a`?")));
}

TEST(Graph, RejectsAWrongNumberOfInputs) {
  Graph graph;
  const ValueId a = graph.add_input("a", kMatrix);

  EXPECT_THAT([&] { graph.add_node("MatMul", {a}, {}, "fc"); },
              ThrowsMessage<Error>(HasSubstr("takes 2 inputs, not 1")));
}

TEST(Graph, GivesNodesOfOneNameNumbers) {
  Graph graph;
  const ValueId x = graph.add_input("x", kMatrix);

  graph.add_node("Relu", {x}, {}, "act");
  const NodeId second = graph.add_node("Relu", {x}, {}, "act");
  const NodeId third = graph.add_node("Relu", {x}, {}, "act");

  EXPECT_EQ(graph.node(second).name, "act_2");
  EXPECT_EQ(graph.node(third).name, "act_3");
}

TEST(Graph, RejectsTwoParametersOfOneName) {
  Graph graph;
  graph.add_parameter("w", kMatrix, {});

  EXPECT_THAT([&] { graph.add_parameter("w", kMatrix, {}); },
              ThrowsMessage<Error>(HasSubstr("already has `w`")));
}

TEST(Graph, FindNamesTheNearestValue) {
  Graph graph;
  const ValueId x = graph.add_input("image", kMatrix);

  EXPECT_EQ(graph.find("image"), x);
  EXPECT_THAT([&] { (void)graph.find("imaeg"); },
              ThrowsMessage<Error>(HasSubstr("did you mean `image`?")));
}

TEST(Graph, RejectsUpdatesOfOtherTypesTwiceOrOfInputs) {
  Graph graph;
  const ValueId x = graph.add_input("x", kMatrix);
  const ValueId w = graph.add_parameter("w", {DType::f32, {6, 4}}, {});
  const ValueId v = graph.add_parameter("v", kMatrix, {});
  const ValueId y = graph.output(graph.add_node("Relu", {x}, {}, "y"));

  EXPECT_THAT([&] { graph.update(x, y); },
              ThrowsMessage<Error>(HasSubstr("neither parameter nor state")));
  EXPECT_THAT([&] { graph.update(w, y); },
              ThrowsMessage<Error>(AllOf(HasSubstr("f32[6,4]"), HasSubstr("f32[4,6]"))));
  graph.update(v, y);
  EXPECT_THAT([&] { graph.update(v, y); }, ThrowsMessage<Error>(HasSubstr("updated twice")));
}

TEST(Graph, RejectsTwoFetchesOfOneName) {
  Graph graph;
  const ValueId x = graph.add_input("x", kMatrix);
  graph.fetch("loss", x);

  EXPECT_THROW(graph.fetch("loss", x), Error);
}

TEST(Graph, RejectsConstantsOfTheWrongSize) {
  EXPECT_THAT([] { Graph().add_constant("c", kMatrix, std::vector<std::byte>(3)); },
              ThrowsMessage<Error>(AllOf(HasSubstr("f32[4,6]"), HasSubstr("3 bytes"))));
}

Graph two_layers(std::int64_t width, double alpha) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {2, width}});
  const ValueId w = graph.add_parameter("w", {DType::f32, {width, 3}}, {});
  const ValueId y = graph.output(graph.add_node("MatMul", {x, w}, {}, "fc"));
  graph.fetch("y", graph.output(graph.add_node("LeakyRelu", {y}, {{"alpha", alpha}}, "act")));
  return graph;
}

TEST(Graph, FingerprintFollowsStructureTypesAndAttributes) {
  EXPECT_EQ(two_layers(5, 0.1).fingerprint(), two_layers(5, 0.1).fingerprint());
  EXPECT_NE(two_layers(5, 0.1).fingerprint(), two_layers(6, 0.1).fingerprint());
  EXPECT_NE(two_layers(5, 0.1).fingerprint(), two_layers(5, 0.2).fingerprint());
}

TEST(Graph, CountsParameters) { EXPECT_EQ(two_layers(5, 0.1).parameter_count(), 15); }

TEST(Verify, FindsUseBeforeDefinition) {
  Graph graph = two_layers(5, 0.1);
  std::vector<Node> reversed(graph.nodes().rbegin(), graph.nodes().rend());

  graph.replace_nodes(std::move(reversed));

  EXPECT_THAT([&] { verify(graph); },
              ThrowsMessage<InternalError>(HasSubstr("before it is computed")));
}

TEST(Verify, FindsTypesThatWereNotInferred) {
  Graph graph = two_layers(5, 0.1);
  graph.value(graph.find("act")).type.dtype = DType::f64;

  EXPECT_THAT([&] { verify(graph); },
              ThrowsMessage<InternalError>(HasSubstr("not of the inferred types")));
}

TEST(Verify, FindsAReaderOfAValueThatWasAddedToInPlace) {
  Graph graph;
  const ValueId x = graph.add_input("x", kMatrix);
  const ValueId w = graph.add_input("w", {DType::f32, {6, 6}});
  const ValueId first = graph.output(graph.add_node("MatMul", {x, w}, {}, "first"));
  const NodeId second = graph.add_node("MatMul", {x, w}, {}, "second");
  graph.node(second).accumulate = first;
  EXPECT_NO_THROW(verify(graph));

  graph.add_node("Relu", {first}, {}, "late");

  EXPECT_THAT([&] { verify(graph); },
              ThrowsMessage<InternalError>(AllOf(HasSubstr("\"late\""), HasSubstr("`first`"))));
}

TEST(Verify, FindsAccumulationByAnOperatorThatCannot) {
  Graph graph;
  const ValueId x = graph.add_input("x", kMatrix);
  const ValueId first = graph.output(graph.add_node("Relu", {x}, {}, "first"));
  const NodeId second = graph.add_node("Relu", {x}, {}, "second");
  graph.node(second).accumulate = first;

  EXPECT_THAT([&] { verify(graph); }, ThrowsMessage<InternalError>(HasSubstr("Relu cannot")));
}

}  // namespace
}  // namespace hpdlf::graph
