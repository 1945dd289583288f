#include <algorithm>
#include <gtest/gtest.h>

#include "graph/autodiff.hpp"
#include "graph/builder.hpp"
#include "graph/op_spec.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::graph {
namespace {

/// x -> a -> b -> c, each kept for its gradient, which reads what the node returned.
struct Chain {
  Graph graph{"chain"};
  NodeId node(const char* name) const { return graph.value(graph.find(name)).producer; }
  const Node& at(const char* name) const { return graph.node(node(name)); }
  ValueId input(const char* name, int i) const {
    return at(name).inputs[static_cast<std::size_t>(i)];
  }

  Chain() {
    Builder b(graph);
    const ValueId x = graph.add_parameter("x", {DType::f32, {8}}, {});
    const Builder::LayerScope scope(b, "layer");
    const ValueId c = b.op("c", "Tanh", {b.op("b", "Sigmoid", {b.op("a", "Tanh", {x})})});
    const ValueId loss = b.op("loss", "ReduceSum", {c}, {{"keepdims", std::int64_t{0}}});
    for (const auto& [parameter, gradient] : differentiate(graph, loss))
      graph.fetch("d " + graph.value(parameter).name, gradient);
  }
};

TEST(Recompute, LetsLaterReadersReadACopyMadeRightBefore) {
  Chain c;
  const NodeId reader = c.node("b.grad");
  const std::size_t nodes = c.graph.nodes().size();

  const auto copies = recompute(c.graph, {c.node("b"), reader});

  verify(c.graph);
  ASSERT_EQ(copies.size(), 1U);
  EXPECT_EQ(copies[0].original, c.graph.find("b"));
  EXPECT_EQ(copies[0].copy, c.graph.find("b.recomputed"));
  EXPECT_EQ(c.graph.nodes().size(), nodes + 1);
  EXPECT_EQ(c.node("b.recomputed"), reader);
  EXPECT_EQ(c.input("b.grad", 0), copies[0].copy);
  EXPECT_EQ(c.input("c", 0), copies[0].original);
  EXPECT_EQ(c.input("b.recomputed", 0), c.graph.find("a"));
}

TEST(Recompute, GivesTheCopyThePhaseBackwardAndTheLayerOfItsOriginal) {
  Chain c;

  (void)recompute(c.graph, {c.node("b"), c.node("b.grad")});

  EXPECT_EQ(c.at("b.recomputed").phase, Phase::backward);
  EXPECT_EQ(c.at("b.recomputed").layer, "layer");
  EXPECT_EQ(c.at("b").phase, Phase::forward);
}

TEST(Recompute, GoesBackOnlyOverWhatNobodyHasKept) {
  Chain c;
  const NodeId reader = c.node("c.grad");

  EXPECT_EQ(nodes_to_recompute(c.graph, {c.node("c"), reader, 0}),
            (std::vector<NodeId>{c.node("c")}));
  // b is read by its gradient, after that of c.
  EXPECT_EQ(nodes_to_recompute(c.graph, {c.node("c"), reader, 2}),
            (std::vector<NodeId>{c.node("c")}));

  (void)recompute(c.graph, {c.node("b"), c.node("b.grad")});

  EXPECT_EQ(nodes_to_recompute(c.graph, {c.node("c"), reader, 2}),
            (std::vector<NodeId>{c.node("b"), c.node("c")}));
}

TEST(Recompute, OfACopyIsNamedOnce) {
  Chain c;

  (void)recompute(c.graph, {c.node("a"), c.node("b.grad")});
  const auto second = recompute(c.graph, {c.node("a.recomputed"), c.node("a.grad")});

  verify(c.graph);
  EXPECT_EQ(c.graph.value(second[0].copy).name, "a.recomputed_2");
}

TEST(Recompute, BeginsASumAnew) {
  Graph graph("sum");
  Builder b(graph);
  const Builder::ConvOptions options{.out_channels = 2, .kernel = {1, 1}, .bias = false};
  const ValueId x = graph.add_input("x", {DType::f32, {1, 4, 4, 2}});
  const ValueId part = b.conv("part", x, options), sum = b.conv("sum", x, options);
  graph.node(graph.value(sum).producer).accumulate = part;
  graph.fetch("early", b.op("early", "Tanh", {sum}));
  const ValueId late = b.op("late", "Sigmoid", {sum});
  graph.fetch("late", late);

  (void)recompute(graph, {graph.value(sum).producer, graph.value(late).producer});

  verify(graph);
  const auto& copy = graph.node(graph.value(graph.find("sum.recomputed")).producer);
  EXPECT_EQ(copy.accumulate, graph.find("part.recomputed"));
}

TEST(Recompute, RefusesAReaderBeforeTheProducer) {
  Chain c;

  EXPECT_THROW((void)recompute(c.graph, {c.node("b"), c.node("a")}), InternalError);
}

}  // namespace
}  // namespace hpdlf::graph
