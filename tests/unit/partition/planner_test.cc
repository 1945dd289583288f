#include "partition/planner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

#include "graph/autodiff.hpp"
#include "graph/builder.hpp"
#include "graph/op_spec.hpp"
#include "graph/passes/pass.hpp"
#include "partition/lower.hpp"
#include "partition/simulator.hpp"
#include "partition/strategies/strategy.hpp"
#include "small_nets.hpp"

namespace hpdlf::partition {
namespace {

Machine machine(int ranks, int workers) {
  Machine m;
  m.ranks = ranks;
  m.workers = workers;
  return m;
}

Plan plan_for(const std::shared_ptr<const graph::Graph>& graph, const std::string& strategy,
              const Machine& m) {
  return make_plan(graph, CostModel(m), {.strategy = strategy});
}

std::string error_of(const std::string& strategy, const Machine& m = machine(1, 2)) {
  try {
    (void)plan_for(test::small_unet(1, 8), strategy, m);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

const NodePlan& node_plan(const Plan& plan, const graph::Graph& graph, const std::string& value) {
  return plan.nodes[static_cast<std::size_t>(graph.value(graph.find(value)).producer)];
}

/// Parts of factor `letter` of the node that makes `value`.
int parts(const Plan& plan, const graph::Graph& graph, const std::string& value, char letter) {
  const auto& node = graph.node(graph.value(graph.find(value)).producer);
  const int factor = graph::tiling_rule(graph::call_of(graph, node)).find(letter);
  EXPECT_GE(factor, 0) << value << " has no factor " << letter;
  return node_plan(plan, graph, value).parts[static_cast<std::size_t>(factor)];
}

TEST(PlanStrategy, ThatIsMisspeltNamesTheNearest) {
  EXPECT_THAT(error_of("spce"), testing::HasSubstr("did you mean `space`?"));
  EXPECT_THAT(error_of(""), testing::HasSubstr("strategy \"\" is none of auto, whole"));
}

TEST(PlanStrategy, CanBeCheckedWithoutANet) {
  for (const char* text : {"auto", "space", "tensor", "d:4 h:2", "q:2"})
    EXPECT_NO_THROW(check_strategy(text)) << text;
  for (const char* text : {"", "spce", "d:x", "d:0", "d:2 d:4", "d:2 whole"})
    EXPECT_THROW(check_strategy(text), Error) << text;
}

TEST(PlanStrategy, OfAFactorThatNoNodeHasNamesThoseThereAre) {
  EXPECT_THAT(
      error_of("q:2"),
      testing::HasSubstr("no node has a factor q that can be cut; there are c, d, h, k, n, w"));
}

TEST(PlanStrategy, OfBadCountsIsAnError) {
  EXPECT_THAT(error_of("d:0"), testing::HasSubstr("0 parts along d"));
  EXPECT_THAT(error_of("d:x"), testing::HasSubstr("is none of"));
  EXPECT_THAT(error_of("d:2 d:4"), testing::HasSubstr("cuts d twice"));
  EXPECT_THAT(error_of("d:99999999999999999999"), testing::HasSubstr("is none of"));
}

TEST(PlanStrategy, CutsWhatIsNamedWhereverItCanBeCut) {
  const auto graph = test::small_unet(2, 8);

  const Plan plan = plan_for(graph, "d:4 h:2", machine(1, 2));

  EXPECT_EQ(parts(plan, *graph, "conv0", 'd'), 4);
  EXPECT_EQ(parts(plan, *graph, "conv0", 'h'), 2);
  EXPECT_EQ(parts(plan, *graph, "conv0", 'w'), 1);
  EXPECT_EQ(parts(plan, *graph, "norm1", 'd'), 4);
}

TEST(PlanStrategy, GivesThinNodesFewerParts) {
  const auto graph = test::small_unet(1, 8);

  const Plan plan = plan_for(graph, "d:16", machine(1, 2));

  EXPECT_EQ(parts(plan, *graph, "conv0", 'd'), 8);
  EXPECT_EQ(parts(plan, *graph, "down", 'd'), 4);
}

TEST(PlanStrategy, CutsTheChannelsOfAWeightThatIsPutTogetherAndNotItsTaps) {
  graph::Graph g("joined");
  graph::Builder b(g);
  const auto x = g.add_input("x", {DType::f32, {1, 4, 6, 5, 2}});
  const auto y = b.conv("mix", b.concat("join", {b.relu("left", x), x}),
                        {.out_channels = 8, .kernel = {3, 3, 3}, .pads = {1, 1, 1}});
  const auto loss = b.op("loss", "ReduceSum", {y}, {{"keepdims", std::int64_t{0}}});
  graph::split_concat_conv(g);
  for (const auto& [parameter, gradient] : graph::differentiate(g, loss))
    g.fetch("d " + g.value(parameter).name, gradient);

  const Plan plan = plan_for(std::make_shared<const graph::Graph>(g), "d:2 k:4", machine(1, 2));

  const std::string joined = "mix.split_weight.grad_concat";
  EXPECT_EQ(parts(plan, g, joined, 'n'), 4);
  for (const char tap : {'d', 'h', 'w'}) EXPECT_EQ(parts(plan, g, joined, tap), 1) << tap;
  EXPECT_EQ(parts(plan, g, "mix", 'd'), 2);
  EXPECT_EQ(parts(plan, g, "mix", 'k'), 4);
}

TEST(PlanStrategy, CutsRowsOfAMatMulAsTheSamplesTheyAre) {
  const auto graph = test::small_mlp(6);

  const Plan plan = plan_for(graph, "sample", machine(1, 3));

  for (std::size_t n = 0; n < graph->nodes().size(); ++n) {
    const auto& node = graph->nodes()[n];
    if (node.phase == graph::Phase::update || graph->value(node.outputs[0]).type.extents.rank() < 2)
      continue;
    EXPECT_EQ(plan.nodes[n].owners.size(), 3U) << node.name;
  }
}

TEST(PlanStrategy, CutsTokensOfIntegerInputs) {
  const auto graph = test::small_transformer(2, 6);

  const Plan plan = plan_for(graph, "t:3", machine(1, 3));

  EXPECT_EQ(parts(plan, *graph, "qkv", 't'), 3);
  EXPECT_EQ(parts(plan, *graph, "attention.out", 't'), 1);
}

TEST(PlanStrategy, CutsHeadsAndWordsWhereChannelsAreCut) {
  const auto graph = test::small_transformer(2, 6);

  const Plan plan = plan_for(graph, "channel", machine(1, 2));

  for (const char* node :
       {"embedding", "qkv", "attention.out", "proj", "head.s", "head.grad.dtable"})
    EXPECT_EQ(parts(plan, *graph, node, 'k'), 2) << node;
}

TEST(PlanStrategy, CutsALayerAlongItsInputsWhereTheyAreCut) {
  const auto graph = test::small_mlp(5);

  const Plan plan = plan_for(graph, "tensor", machine(1, 2));

  EXPECT_EQ(parts(plan, *graph, "fc1", 'n'), 2);
  EXPECT_EQ(parts(plan, *graph, "fc2", 'n'), 1);
  EXPECT_EQ(parts(plan, *graph, "fc2", 'k'), 2);
  const auto copied_parts = [&](const std::string& strategy) {
    const TaskGraph tasks = lower(graph, plan_for(graph, strategy, machine(1, 2)));
    return std::accumulate(tasks.tasks.begin(), tasks.tasks.end(), 0, [](int parts, const Task& t) {
      return parts + (t.op == "Copy" ? t.inputs : 0);
    });
  };
  EXPECT_EQ(copied_parts("tensor"), 2) << "the gradient of the last bias, computed in two parts";
  EXPECT_EQ(copied_parts("channel"), 18);
}

TEST(PlanStrategy, SumsNothingInBf16ThatCanBeCopied) {
  graph::Graph g("bf16");
  graph::Builder b(g);
  const auto x = g.add_input("x", {DType::bf16, {5, 8}});
  const auto w1 = g.add_parameter("w1", {DType::bf16, {32, 8}}, {});
  const auto w2 = g.add_parameter("w2", {DType::bf16, {2, 32}}, {});
  g.fetch("y", b.op("fc2", "Linear", {b.op("fc1", "Linear", {x, w1}), w2}));

  const Plan plan = plan_for(std::make_shared<const graph::Graph>(g), "tensor", machine(1, 2));

  EXPECT_EQ(parts(plan, g, "fc2", 'k'), 2);
  EXPECT_EQ(parts(plan, g, "fc2", 'c'), 1);
}

TEST(PlanStrategy, CutsHeadsAndWordsWhereSamplesOrTokensMustStayWhole) {
  const auto graph = test::small_transformer(2, 6);
  const auto factors = factor_roles(*graph);
  const Situation situation = look_at(*graph, factors, machine(1, 2));

  for (const char axis : {'n', 't'}) {
    SCOPED_TRACE(axis);
    const Plan plan = apply({.name = "test", .parts = {{axis, 2}}, .refill = 2}, situation);
    EXPECT_EQ(parts(plan, *graph, "qkv", axis), 2);
    EXPECT_EQ(parts(plan, *graph, "attention.out", axis == 'n' ? 'n' : 'k'), 2);
    for (const char* node : {"embedding", "head.s", "head.grad.dtable", "table.step.new_param"})
      EXPECT_EQ(parts(plan, *graph, node, 'k'), 2) << node;
  }
}

/// Of a net with four planes: too thin for slabs, so that channels are cut.
Plan thin_plan(const graph::Graph& graph, int workers, bool follow = false) {
  const auto factors = factor_roles(graph);
  const Cutting cutting{
      .name = "test", .parts = {{'d', 4}}, .thickness = 8, .follow = follow, .refill = workers};
  return apply(cutting, look_at(graph, factors, machine(1, workers)));
}

/// Names of the values of which something is copied. A tile has the name of the value it was made for.
std::set<std::string> copied_values(const std::shared_ptr<const graph::Graph>& graph,
                                    const Plan& plan) {
  const TaskGraph tasks = lower(graph, plan);
  std::set<std::string> copied;
  for (const Task& task : tasks.tasks)
    if (task.op == "Copy") copied.insert(graph->value(tasks.tile(task.access[0].tile).value).name);
  return copied;
}

TEST(PlanChannels, OfThinLevelsAreCutBetweenLinesByAllOfALevel) {
  const auto graph = test::convolutions(96, 128);

  const Plan plan = thin_plan(*graph, 4);

  EXPECT_EQ(parts(plan, *graph, "a", 'd'), 1);
  for (const auto& [name, expected] : {std::pair("a", 3), std::pair("b", 4)}) {
    const std::string conv = name;
    for (const char* cut : {"", ".weights", ".grad_weight", ".weight.step.new_param"})
      EXPECT_EQ(parts(plan, *graph, conv + cut, 'k'), expected) << conv << cut;
    EXPECT_EQ(parts(plan, *graph, conv + ".relu", 'c'), expected);
  }
  EXPECT_EQ(parts(plan, *graph, "b.grad_input", 'k'), 3);
  EXPECT_EQ(parts(plan, *graph, "b.grad_input.weights", 'k'), 3);
}

TEST(PlanChannels, AreCutUnevenlyWhereEqualPartsWouldBeFew) {
  for (const auto& [channels, expected] :
       {std::pair(48, 2), std::pair(80, 4), std::pair(320, 4), std::pair(352, 4)}) {
    const auto graph = test::convolutions(96, channels);
    const Plan plan = thin_plan(*graph, channels == 48 ? 2 : 4);
    EXPECT_EQ(parts(plan, *graph, "b", 'k'), expected) << channels;
    EXPECT_EQ(parts(plan, *graph, "b.weights", 'k'), expected) << channels;
  }
}

TEST(PlanChannels, TakeTransformedWeightsAsTheyAre) {
  const auto graph = test::convolutions(96, 128);

  // Convolutions read all channels of x or dy, the gradient by x reads weights across.
  EXPECT_EQ(copied_values(graph, thin_plan(*graph, 4)),
            (std::set<std::string>{"a", "b", "b.weight"}));
}

TEST(PlanChannels, OfOperandsTakeWeightsAsTheyAreKept) {
  const auto graph = test::convolutions(96, 128, graph::Math::strict);

  EXPECT_EQ(copied_values(graph, thin_plan(*graph, 4)).count("b.weight"), 1U);
  EXPECT_EQ(copied_values(graph, thin_plan(*graph, 4, true)).count("b.weight"), 0U);
}

TEST(PlanChannels, AreTriedWithSlabsAndWithBlocks) {
  const auto graph = test::small_unet(1, 8);
  const auto factors = factor_roles(*graph);
  const auto names = [&](int workers) {
    std::set<std::string> found;
    for (const Cutting& c : mixed_cuttings(look_at(*graph, factors, machine(1, workers))))
      found.insert(c.name);
    return found;
  };
  const std::string thick = ", slabs of 4 or more, channels where that is too few";
  const std::string following = ", slabs of 8 or more, channels of operands where that is too few";

  for (const char* cut : {"d:16", "d:8 h:2", "d:4 h:4"})
    EXPECT_EQ(names(16).count(cut + thick), 1U) << cut;
  EXPECT_EQ(names(16).count("d:16" + following), 1U);
  EXPECT_EQ(names(2).count("h:2" + thick), 1U);
  EXPECT_EQ(names(2).count("h:4" + thick), 0U) << "more tiles than two workers need";
}

TEST(PlanMixed, CanBeAskedForWhereItsNameSaysAllOfIt) {
  const auto graph = test::small_unet(3, 8);
  const auto factors = factor_roles(*graph);
  const Situation situation = look_at(*graph, factors, machine(1, 4));

  for (const Cutting& c : mixed_cuttings(situation)) {
    if (c.has_text())
      EXPECT_NO_THROW(check_strategy(c.name)) << c.name;
    else
      EXPECT_THROW(check_strategy(c.name), Error) << c.name;
  }
}

TEST(PlanRanks, GetTheSamplesIfThereAreEnough) {
  const auto graph = test::small_unet(2, 8);

  const Plan plan = plan_for(graph, "whole", machine(2, 2));

  EXPECT_EQ(parts(plan, *graph, "conv0", 'n'), 2);
  EXPECT_EQ(node_plan(plan, *graph, "conv0").owners, (std::vector<int>{0, 1}));
}

TEST(PlanRanks, GetSlabsIfThereAreFewerSamples) {
  const auto graph = test::small_unet(1, 8);

  const Plan plan = plan_for(graph, "whole", machine(2, 2));

  EXPECT_EQ(parts(plan, *graph, "conv0", 'd'), 2);
  EXPECT_EQ(node_plan(plan, *graph, "conv0").owners, (std::vector<int>{0, 1}));
}

TEST(PlanRanks, GetNeighbouringTiles) {
  const auto graph = test::small_unet(2, 8);

  const Plan plan = plan_for(graph, "d:4 h:2", machine(2, 2));

  EXPECT_EQ(node_plan(plan, *graph, "conv0").owners, (std::vector<int>{0, 0, 0, 0, 1, 1, 1, 1}));
}

TEST(PlanRanks, ShareTheUpdatesOfParameters) {
  const auto graph = test::small_unet(2, 8);

  const Plan plan = plan_for(graph, "whole", machine(4, 1));

  std::vector<std::int64_t> bytes(4, 0);
  std::int64_t largest = 0;
  for (std::size_t n = 0; n < graph->nodes().size(); ++n) {
    const auto& node = graph->nodes()[n];
    if (node.phase != graph::Phase::update) continue;
    const std::int64_t size = graph->value(node.outputs[0]).type.bytes();
    bytes[static_cast<std::size_t>(plan.nodes[n].owners.at(0))] += size;
    largest = std::max(largest, size);
  }
  const auto [least, most] = std::minmax_element(bytes.begin(), bytes.end());
  EXPECT_LE(*most - *least, largest);
  EXPECT_GT(*least, 0);
}

TEST(PlanAuto, IsNoSlowerThanAnyNamedStrategy) {
  const auto graph = test::small_unet(2, 8);
  for (const auto& [ranks, workers] : {std::pair(1, 2), std::pair(2, 1), std::pair(1, 4)}) {
    const CostModel model(machine(ranks, workers));
    const auto seconds = [&](const std::string& strategy) {
      TaskGraph tasks = lower(graph, make_plan(graph, model, {.strategy = strategy}));
      set_priorities(tasks, model);
      return simulate(tasks, model).seconds;
    };
    const double automatic = seconds("auto");
    for (const char* other : {"whole", "sample", "space", "channel", "d:4"})
      EXPECT_LE(automatic, 1.006 * seconds(other))
          << other << ", " << ranks << " ranks, " << workers << " workers";
  }
}

TEST(PlanAuto, LeavesTheNetWholeForOneWorker) {
  const auto graph = test::small_unet(1, 8);

  const Plan plan = plan_for(graph, "auto", machine(1, 1));

  for (const NodePlan& node : plan.nodes) EXPECT_EQ(node.owners.size(), 1U);
  EXPECT_THAT(plan.reason, testing::StartsWith("\"whole\", fastest of "));
}

TEST(PlanReason, NamesWorkersThatHaveNothingToDo) {
  const auto reason = [](const std::string& strategy, int workers) {
    return plan_for(test::small_unet(1, 8), strategy, machine(1, workers)).reason;
  };

  EXPECT_THAT(reason("auto", 64),
              testing::ContainsRegex("; [56][0-9] of 64 workers have nothing to do for most of a "
                                     "step: the net has no more useful tiles$"));
  EXPECT_THAT(reason("whole", 8),
              testing::EndsWith("; 7 of 8 workers have nothing to do for most of a step: this "
                                "strategy makes too few tiles"));
  EXPECT_THAT(reason("whole", 1), testing::EndsWith(" tasks"));
  EXPECT_THAT(reason("d:4", 2), testing::EndsWith(" tasks"));
}

}  // namespace
}  // namespace hpdlf::partition
