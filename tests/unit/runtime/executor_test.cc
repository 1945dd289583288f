// The executor on task graphs written by hand: movements, access modes, steps in flight, failures.
#include "runtime/executor.hpp"

#include <cstdlib>
#include <gmock/gmock.h>
#include <numeric>

#include "runtime/memory.hpp"
#include "support/hand_task_graph.hpp"
#include "support/runtime_fixture.hpp"

namespace hpdlf::runtime {
namespace {

using graph::Graph;
using graph::TensorType;
using graph::ValueId;
using partition::Tile;
using test::HandTaskGraph;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class ExecutorTest : public test::RuntimeFixture {
 protected:
  static HostTensorPtr counting(const TensorType& type, float first = 0) {
    auto tensor = std::make_shared<HostTensor>(type);
    const auto values = tensor->as<float>();
    std::iota(values.begin(), values.end(), first);
    return tensor;
  }
  static std::vector<float> floats(const HostTensorPtr& tensor) {
    const auto values = tensor->as<float>();
    return {values.begin(), values.end()};
  }
  template <class Call>
  static std::string message_of(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
};

/// x -> y by one Copy.
struct CopyNet {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>("copy");
  TensorType type{DType::f32, {4}};
  ValueId x = graph->add_input("x", type);
  ValueId y = graph->add_value({.name = "y", .type = type});
  std::shared_ptr<const partition::TaskGraph> tasks;

  CopyNet() {
    graph->fetch("y", y);
    HandTaskGraph hand(graph);
    const auto a = hand.tile(x, Tile::Role::input);
    const auto b = hand.tile(y);
    hand.feed(a);
    hand.task("Copy", {a}, {b});
    hand.fetch(b);
    tasks = hand.finish();
  }
};

TEST_F(ExecutorTest, CarriesInputsToFetchesStepByStep) {
  const CopyNet net;
  Executor executor(session(), net.tasks, model);

  for (int step = 0; step < 5; ++step) {
    const auto number = executor.submit({{net.x, counting(net.type, static_cast<float>(step))}});
    const StepResult result = executor.wait(number);

    EXPECT_EQ(result.step, step);
    const auto f = static_cast<float>(step);
    EXPECT_THAT(floats(result.fetched.at("y")), ElementsAre(f, f + 1, f + 2, f + 3));
  }
}

TEST_F(ExecutorTest, KeepsTwoStepsInFlightAndTheResultsOfBoth) {
  const CopyNet net;
  Executor executor(session(), net.tasks, model);

  for (int step = 0; step < 6; ++step)
    executor.submit({{net.x, counting(net.type, static_cast<float>(step))}});

  EXPECT_EQ(floats(executor.wait(4).fetched.at("y")).front(), 4);
  EXPECT_EQ(floats(executor.wait(5).fetched.at("y")).front(), 5);
  EXPECT_THAT(message_of([&] { executor.wait(3); }), HasSubstr("its results are gone"));
  EXPECT_THAT(message_of([&] { executor.wait(6); }), HasSubstr("step 6 was not submitted"));
}

TEST_F(ExecutorTest, StepNumbersContinueWhereTheyAreSet) {
  const CopyNet net;
  Executor executor(session(), net.tasks, model);

  executor.submit({{net.x, counting(net.type)}});
  executor.set_next_step(41);

  EXPECT_EQ(executor.submit({{net.x, counting(net.type, 7)}}), 41);
  EXPECT_EQ(floats(executor.wait(41).fetched.at("y")).front(), 7);
}

TEST_F(ExecutorTest, NamesTheInputThatIsMissingOrOfAnotherType) {
  const CopyNet net;
  Executor executor(session(), net.tasks, model);

  EXPECT_THAT(message_of([&] { executor.submit({}); }),
              HasSubstr("input \"x\" (f32[4]) is not given"));
  EXPECT_THAT(message_of([&] {
                executor.submit({{net.x, counting({DType::f32, {5}})}});
              }),
              HasSubstr("input \"x\" is f32[4], but f32[5] is given"));
  EXPECT_EQ(executor.submit({{net.x, counting(net.type)}}), 0) << "a refused step does not count";
}

TEST_F(ExecutorTest, WritesPartsOfATileWithoutLosingTheRest) {
  auto graph = std::make_shared<Graph>("parts");
  const TensorType type{DType::f32, {6, 2}};
  const ValueId x = graph->add_input("x", type);
  const ValueId y = graph->add_value({.name = "y", .type = type});
  graph->fetch("y", y);
  HandTaskGraph hand(graph);
  const auto whole = hand.tile(y);
  std::vector<partition::TileId> parts;
  for (std::int64_t i = 0; i < 3; ++i)
    parts.push_back(hand.tile(x, Box{{2 * i, 0}, {2 * i + 2, 2}}, Tile::Role::input));
  for (const auto part : parts) hand.feed(part);
  for (std::int64_t i = 0; i < 3; ++i) {
    const Box box{{2 * i, 0}, {2 * i + 2, 2}};
    hand.task("Copy", {parts[static_cast<std::size_t>(i)]}, {{whole, box}});
  }
  hand.fetch(whole);
  const auto tasks = hand.finish();
  Executor executor(session(), tasks, model);

  for (int repeat = 0; repeat < 3; ++repeat) {
    const auto number = executor.submit({{x, counting(type)}});

    EXPECT_EQ(floats(executor.wait(number).fetched.at("y")), floats(counting(type)));
  }
}

TEST_F(ExecutorTest, PassesATileOnceThoughItIsReadTwice) {
  auto graph = std::make_shared<Graph>("twice");
  const TensorType type{DType::f32, {3}};
  const ValueId x = graph->add_input("x", type);
  const ValueId y = graph->add_value({.name = "y", .type = type});
  graph->fetch("y", y);
  HandTaskGraph hand(graph);
  const auto a = hand.tile(x, Tile::Role::input);
  const auto b = hand.tile(y);
  hand.feed(a);
  hand.task("Sum", {a, a}, {b});
  hand.fetch(b);
  Executor executor(session(), hand.finish(), model);

  const auto result = executor.wait(executor.submit({{x, counting(type, 1)}}));

  EXPECT_THAT(floats(result.fetched.at("y")), ElementsAre(2, 4, 6));
}

TEST_F(ExecutorTest, TakesMoreTilesThanStarpuHasPlacesInATask) {
  auto graph = std::make_shared<Graph>("many");
  const TensorType type{DType::f32, {3}};
  const ValueId x = graph->add_input("x", type);
  const ValueId y = graph->add_value({.name = "y", .type = type});
  graph->fetch("y", y);
  HandTaskGraph hand(graph);
  std::vector<HandTaskGraph::Operand> copies;
  constexpr int count = 40;  // StarPU is built with 8 or 16
  for (int i = 0; i < count; ++i) {
    copies.emplace_back(hand.tile(x, Tile::Role::input));
    hand.feed(copies.back().tile);
  }
  const auto sum = hand.tile(y);
  hand.task("Sum", copies, {sum});
  hand.fetch(sum);
  Executor executor(session(), hand.finish(), model);

  const auto result = executor.wait(executor.submit({{x, counting(type, 1)}}));

  EXPECT_THAT(floats(result.fetched.at("y")), ElementsAre(count, 2 * count, 3 * count));
}

/// A parameter that each step adds x to, in two tiles.
struct SumNet {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>("sum");
  TensorType type{DType::f32, {4}};
  ValueId x = graph->add_input("x", type);
  ValueId p = graph->add_parameter("p", type, {graph::Initializer::Kind::constant, 10});
  std::shared_ptr<const partition::TaskGraph> tasks;

  SumNet() {
    HandTaskGraph hand(graph);
    for (const Box& box : {Box{{0}, {1}}, Box{{1}, {4}}}) {
      const auto fed = hand.tile(x, box, Tile::Role::input);
      const auto kept = hand.tile(p, box, Tile::Role::parameter);
      hand.feed(fed);
      hand.task("Sum", {kept, fed}, {kept});
    }
    tasks = hand.finish();
  }
};

TEST_F(ExecutorTest, KeepsParametersBetweenStepsAndGathersTheirTiles) {
  const SumNet net;
  Executor executor(session(), net.tasks, model);
  executor.initialise();

  for (int i = 0; i < 3; ++i) executor.submit({{net.x, counting(net.type)}});

  EXPECT_THAT(floats(executor.read(net.p)), ElementsAre(10, 13, 16, 19));
}

TEST_F(ExecutorTest, WrittenParametersReplaceTheOldContent) {
  const SumNet net;
  Executor executor(session(), net.tasks, model);

  executor.write(net.p, *counting(net.type, 100));
  executor.submit({{net.x, counting(net.type)}});

  EXPECT_THAT(floats(executor.read(net.p)), ElementsAre(100, 102, 104, 106));
  EXPECT_THAT(message_of([&] {
                executor.write(net.p, HostTensor({DType::f32, {3}}));
              }),
              HasSubstr("\"p\" is f32[4], not f32[3]"));
  EXPECT_THAT(message_of([&] { executor.write(net.x, HostTensor(net.type)); }),
              HasSubstr("it is no parameter or state"));
}

TEST_F(ExecutorTest, RefusesToRunOnParametersWithoutContent) {
  const SumNet net;
  Executor executor(session(), net.tasks, model);

  EXPECT_THAT(message_of([&] {
                executor.submit({{net.x, counting(net.type)}});
              }),
              HasSubstr("\"p\" has no content"));
  EXPECT_THAT(message_of([&] { (void)executor.read(net.p); }),
              HasSubstr("cannot read \"p\": it has no content yet"));
}

TEST_F(ExecutorTest, ListsEveryOperatorWithoutKernel) {
  const CopyNet net;
  HandTaskGraph hand(net.graph);
  const auto a = hand.tile(net.x, Tile::Role::input);
  const auto b = hand.tile(net.y);
  hand.feed(a);
  hand.task("Frobnicate", {a}, {b});
  hand.task("Defenestrate", {b}, {a});

  const std::string message = message_of([&] { Executor(session(), hand.finish(), model); });

  EXPECT_THAT(message, HasSubstr("no cpu kernel for Frobnicate(f32[4])"));
  EXPECT_THAT(message, HasSubstr("no cpu kernel for Defenestrate(f32[4])"));
}

TEST_F(ExecutorTest, RefusesATaskGraphForAnotherNumberOfRanks) {
  const CopyNet net;
  HandTaskGraph hand(net.graph, /*ranks=*/3);

  EXPECT_THAT(message_of([&] { Executor(session(), hand.finish(), model); }),
              HasSubstr("made for 3 rank(s), this run has 1"));
}

/// Cross-entropy, whose kernel refuses a label that is no class.
struct LabelNet {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>("labels");
  TensorType logits_type{DType::f32, {2, 3}}, labels_type{DType::i32, {2}};
  ValueId logits = graph->add_input("logits", logits_type);
  ValueId labels = graph->add_input("labels", labels_type);
  ValueId sums = graph->add_value({.name = "sums", .type = {DType::f64, {2}}});
  Attrs attrs{{"ignore_index", std::int64_t{-1}}};
  std::shared_ptr<const partition::TaskGraph> tasks;

  LabelNet() {
    graph->fetch("sums", sums);
    HandTaskGraph hand(graph);
    const auto a = hand.tile(logits, Tile::Role::input);
    const auto b = hand.tile(labels, Tile::Role::input);
    const auto c = hand.tile(sums);
    hand.feed(a);
    hand.feed(b);
    hand.task("CrossEntropySums", {a, b}, {c}, &attrs);
    hand.fetch(c);
    tasks = hand.finish();
  }
  [[nodiscard]] StepInputs inputs(std::int32_t label) const {
    auto given = std::make_shared<HostTensor>(labels_type);
    given->as<std::int32_t>()[0] = label;
    return {{logits, std::make_shared<HostTensor>(logits_type)}, {labels, given}};
  }
};

TEST_F(ExecutorTest, ReportsAKernelFailureWithItsTaskAndGoesOn) {
  const LabelNet net;
  Executor executor(session(), net.tasks, model);
  executor.submit(net.inputs(2));
  const auto bad = executor.submit(net.inputs(7));

  const std::string message = message_of([&] { executor.wait(bad); });

  EXPECT_THAT(message, HasSubstr("7"));
  EXPECT_THAT(message, HasSubstr("while running CrossEntropySums"));
  EXPECT_THAT(message, HasSubstr("tile [0:2] of \"sums\", rank 0"));
  const auto good = executor.submit(net.inputs(2));
  EXPECT_DOUBLE_EQ(executor.wait(good).fetched.at("sums")->as<double>()[1], 2);
}

TEST_F(ExecutorTest, ReportsAFailureThatNobodyWaitedForWhenItDrains) {
  const LabelNet net;
  Executor executor(session(), net.tasks, model);
  executor.submit(net.inputs(9));

  EXPECT_THAT(message_of([&] { executor.drain(); }), HasSubstr("CrossEntropySums"));
  EXPECT_EQ(message_of([&] { executor.drain(); }), "no error");
}

TEST_F(ExecutorTest, RecordsTheTimesOfTheLastEndedStepByStart) {
  const CopyNet net;
  Executor executor(session(), net.tasks, model, {.record_times = true});
  EXPECT_TRUE(executor.task_times().empty());

  for (int i = 0; i < 3; ++i) executor.submit({{net.x, counting(net.type)}});
  executor.drain();
  const auto times = executor.task_times();

  ASSERT_EQ(times.size(), 3U);
  for (std::size_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(times[i].task, static_cast<int>(i));
    EXPECT_GE(times[i].worker, 0);
    EXPECT_LE(times[i].start_us, times[i].end_us);
    if (i > 0) {
      EXPECT_GE(times[i].start_us, times[i - 1].end_us);
    }
  }
}

TEST_F(ExecutorTest, HandsOutTheTimesOfEveryStepOnceAndInOrder) {
  const CopyNet net;
  std::vector<std::pair<std::int64_t, std::size_t>> reports;
  Executor executor(session(), net.tasks, model,
                    {.on_times = [&](std::int64_t step, std::span<const TaskTime> times) {
                      reports.emplace_back(step, times.size());
                    }});

  for (int i = 0; i < 3; ++i) executor.submit({{net.x, counting(net.type)}});
  EXPECT_GE(reports.size(), 1U) << "step 2 took the place of step 0";
  executor.drain();
  executor.set_next_step(10);
  executor.submit({{net.x, counting(net.type)}});
  executor.drain();

  EXPECT_THAT(reports, ElementsAre(Pair(0, 3), Pair(1, 3), Pair(2, 3), Pair(10, 3)));
}

TEST_F(ExecutorTest, HandsOutNoTimesOfAFailedStep) {
  const LabelNet net;
  std::vector<std::int64_t> reported;
  Executor executor(session(), net.tasks, model,
                    {.on_times = [&](std::int64_t step, std::span<const TaskTime>) {
                      reported.push_back(step);
                    }});

  executor.submit(net.inputs(9));
  EXPECT_THROW(executor.drain(), Error);
  const auto good = executor.submit(net.inputs(2));
  executor.drain();

  EXPECT_THAT(reported, ElementsAre(good));
}

TEST_F(ExecutorTest, TakesTransientTilesFromThePoolAndGivesThemBack) {
  auto graph = std::make_shared<Graph>("chain");
  const TensorType type{DType::f32, {1 << 20}};
  std::vector<ValueId> values = {graph->add_input("v0", type)};
  for (int i = 1; i < 16; ++i)
    values.push_back(graph->add_value({.name = "v" + std::to_string(i), .type = type}));
  HandTaskGraph hand(graph);
  std::vector<partition::TileId> tiles;
  for (const auto v : values) tiles.push_back(hand.tile(v));
  hand.feed(tiles[0]);
  for (std::size_t i = 1; i < tiles.size(); ++i) hand.task("Copy", {tiles[i - 1]}, {tiles[i]});
  Executor executor(session(), hand.finish(), model);
  const std::int64_t before = memory_stats().current;
  reset_peak_memory();

  for (int step = 0; step < 4; ++step) executor.submit({{values[0], counting(type)}});
  executor.drain();

  // Two links a step in flight, more if a worker loses its core before it releases a tile. Never released, a step has 16.
  EXPECT_EQ(memory_stats().current, before);
  EXPECT_GE(memory_stats().peak - before, 2 * type.bytes());
  EXPECT_LE(memory_stats().peak - before, 8 * type.bytes());
}

}  // namespace
}  // namespace hpdlf::runtime
