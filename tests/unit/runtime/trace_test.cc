#include "runtime/trace.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/atomic_file.hpp"
#include "support/hand_task_graph.hpp"
#include "support/runtime_fixture.hpp"

namespace hpdlf::runtime {
namespace {

namespace fs = std::filesystem;
using graph::Phase;

class TraceTest : public test::RuntimeFixture {
 protected:
  TraceTest() {
    fs::remove_all(folder);
    fs::create_directories(folder);
    graph->fetch("y", y);
    test::HandTaskGraph hand(graph);
    const auto a = hand.tile(x);
    const auto b = hand.tile(y);
    hand.feed(a);
    hand.task("Copy", {a}, {b}).phase = Phase::backward;
    hand.fetch(b);
    tasks = hand.finish();
  }
  ~TraceTest() override { fs::remove_all(folder); }

  void run_steps(Executor& executor, int count) {
    for (int i = 0; i < count; ++i)
      executor.submit({{x, std::make_shared<HostTensor>(graph->value(x).type)}});
    executor.drain();
  }

  fs::path folder = fs::temp_directory_path() / ("hpdlf_trace_" + std::to_string(::getpid()));
  std::shared_ptr<graph::Graph> graph = std::make_shared<graph::Graph>("copy");
  graph::ValueId x = graph->add_input("x \"quoted\"", {DType::f32, {4}});
  graph::ValueId y = graph->add_value({.name = "y", .type = {DType::f32, {4}}});
  std::shared_ptr<const partition::TaskGraph> tasks;
};

TEST_F(TraceTest, WritesAnEventForEveryTaskWithItsNamePhaseAndStep) {
  Executor executor(session(), tasks, model, {.record_times = true});
  run_steps(executor, 1);
  ChromeTrace trace(tasks, /*rank=*/3);

  trace.add_step(7, executor.task_times());
  trace.write(folder / "trace.json");
  const auto json = nlohmann::json::parse(read_text_file(folder / "trace.json"));

  std::vector<nlohmann::json> events;
  for (const auto& event : json.at("traceEvents"))
    if (event.at("ph") == "X") events.push_back(event);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].at("name"), "Feed of x \"quoted\"");
  EXPECT_EQ(events[1].at("cat"), "backward");
  EXPECT_EQ(events[1].at("pid"), 3);
  EXPECT_EQ(events[1].at("args").at("step"), 7);
  EXPECT_EQ(events[1].at("args").at("region"), "[0:4]");
  EXPECT_GE(events[1].at("dur").get<double>(), 0);
}

TEST_F(TraceTest, FailsWhereItCannotWrite) {
  EXPECT_THROW(ChromeTrace(tasks, 0).write(folder / "no" / "such" / "trace.json"), Error);
}

TEST_F(TraceTest, ColoursPhasesApartAndMemoryBoundTasksLighter) {
  partition::Task heavy;
  heavy.cost = {.flops = 1e9, .bytes_read = 1e6, .bytes_written = 1e6};
  partition::Task light;
  light.cost = {.flops = 1e6, .bytes_read = 1e6, .bytes_written = 1e6};
  partition::Task backward = heavy;
  backward.phase = Phase::backward;

  EXPECT_NE(task_color(heavy), task_color(backward));
  for (const int shift : {0, 8, 16})
    EXPECT_GE(task_color(light) >> shift & 0xff, task_color(heavy) >> shift & 0xff);
  EXPECT_NE(task_color(heavy), task_color(light));
}

TEST_F(TraceTest, ConvertsStarpusTraceWithTaskNamesIterationsAndColours) {
  if (!runtime_report().fxt) GTEST_SKIP() << "this StarPU has no FxT";
  {
    Executor executor(session({.cpu_workers = 2, .trace_dir = (folder / "fxt").string()}), tasks,
                      model);
    run_steps(executor, 2);
  }
  close_session();

  const fs::path paje = convert_fxt(folder / "fxt");

  const std::string text = read_text_file(paje);
  EXPECT_THAT(text, testing::HasSubstr(
                        "6\tCopy_of_x__quoted_\tWS\tCopy_of_x__quoted_\t\"1.000 0.749 0.525\""))
      << "one word, with the colour of its phase";
  EXPECT_TRUE(fs::exists(folder / "fxt" / "dag.dot"));
}

TEST_F(TraceTest, StarpusTraceTakesScalars) {
  if (!runtime_report().fxt) GTEST_SKIP() << "this StarPU has no FxT";
  auto net = std::make_shared<graph::Graph>("scalar");
  const auto rate = net->add_input("rate", {DType::f32, {}});
  test::HandTaskGraph hand(net);
  hand.feed(hand.tile(rate));
  {
    Executor executor(session({.cpu_workers = 1, .trace_dir = (folder / "fxt").string()}),
                      hand.finish(), model);
    executor.submit({{rate, std::make_shared<HostTensor>(net->value(rate).type)}});
    executor.drain();
  }
  close_session();

  EXPECT_THAT(read_text_file(convert_fxt(folder / "fxt")), testing::HasSubstr("Feed_of_rate"));
}

TEST_F(TraceTest, SaysThatThereIsNoTraceToConvert) {
  EXPECT_THROW((void)convert_fxt(folder), Error);
  EXPECT_THROW((void)convert_fxt(folder / "missing"), Error);
}

}  // namespace
}  // namespace hpdlf::runtime
