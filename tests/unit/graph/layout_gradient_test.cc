// Gradients of layout operators where a part of the outputs has none; tests/ops covers the rest with numbers.
#include <gtest/gtest.h>

#include "graph/autodiff.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

using Integers = std::vector<std::int64_t>;

/// Operators that differentiate() adds for a Split of [2,6] into 1 + 2 + 3 columns, of which those in `seeded` have a gradient.
std::vector<std::string> emitted(const std::vector<int>& seeded, Graph& graph,
                                 DType dtype = DType::f32) {
  const ValueId x = graph.add_input("x", {dtype, {2, 6}});
  const NodeId split = graph.add_node(
      "Split", {x}, {{"axis", std::int64_t{-1}}, {"split", Integers{1, 2, 3}}}, "split");
  std::vector<Seed> seeds;
  for (const int i : seeded) {
    const ValueId part = graph.output(split, i);
    seeds.push_back({part, graph.add_input("dy" + std::to_string(i), graph.value(part).type)});
  }
  const auto gradients = differentiate(graph, seeds, {x});
  EXPECT_EQ(gradients.size(), 1U);
  EXPECT_EQ(graph.value(gradients.at(0).gradient).type, graph.value(x).type);
  verify(graph);
  std::vector<std::string> ops;
  for (std::size_t i = 1; i < graph.nodes().size(); ++i) ops.push_back(graph.nodes()[i].spec->name);
  return ops;
}

TEST(SplitGradient, JoinsTheGradientsOfAllOutputs) {
  Graph graph;
  EXPECT_EQ(emitted({0, 1, 2}, graph), (std::vector<std::string>{"Concat"}));
}

TEST(SplitGradient, PutsThoseThatThereAreIntoZeros) {
  Graph graph;
  EXPECT_EQ(emitted({0, 2}, graph), (std::vector<std::string>{"SliceGrad", "SliceGrad", "Sum"}));
  EXPECT_EQ(graph.nodes()[1].attrs.integers("starts"), Integers{0});
  EXPECT_EQ(graph.nodes()[2].attrs.integers("starts"), Integers{3});
  EXPECT_EQ(graph.nodes()[2].attrs.integers("ends"), Integers{6});
}

TEST(SplitGradient, OfASingleOutputIsItInZeros) {
  Graph graph;
  EXPECT_EQ(emitted({1}, graph), (std::vector<std::string>{"SliceGrad"}));
}

TEST(SplitGradient, KnowsF64) {
  Graph graph;
  EXPECT_EQ(emitted({0, 1}, graph, DType::f64),
            (std::vector<std::string>{"SliceGrad", "SliceGrad", "Sum"}));
}

}  // namespace
}  // namespace hpdlf::graph
