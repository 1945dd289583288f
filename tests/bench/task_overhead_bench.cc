// What the runtime costs a task: tasks of three tiles whose kernel adds two numbers, on two workers.
//
//   us_per_task         wall time from submit() to the end of the step
//   submit_us_per_task  time submit() takes of it, on the submitting thread
// The goal is <= 10 us a task (docs/performance.md). dmdas_busy also computes how busy the workers are, as `hpdlf train` does.
#include <benchmark/benchmark.h>
#include <chrono>

#include "runtime/busy_meter.hpp"
#include "runtime/executor.hpp"
#include "support/hand_task_graph.hpp"

namespace hpdlf::runtime {
namespace {

constexpr int kTasks = 50000;
constexpr std::size_t kTiles = 256;

std::shared_ptr<const partition::TaskGraph> many_small_tasks() {
  auto graph = std::make_shared<graph::Graph>("small");
  const graph::ValueId x = graph->add_value({.name = "x", .type = {DType::f32, {1}}});
  test::HandTaskGraph hand(graph);
  std::vector<partition::TileId> tiles;
  for (std::size_t i = 0; i < kTiles; ++i)
    tiles.push_back(hand.tile(x, partition::Tile::Role::parameter));
  for (int i = 0; i < kTasks; ++i) {
    const auto at = static_cast<std::size_t>(i);
    hand.task("Sum", {tiles[at % kTiles], tiles[(7 * at + 1) % kTiles]},
              {tiles[(at + kTiles / 2) % kTiles]})
        .priority = static_cast<std::int16_t>(i % partition::kPriorityLevels);
  }
  return hand.finish();
}

void empty_tasks(benchmark::State& state, const char* scheduler, bool measures_busy = false) {
  Session session({.cpu_workers = 2, .scheduler = scheduler});
  BusyMeter busy(2);
  ExecutorOptions options;
  if (measures_busy)
    options.on_times = [&](std::int64_t, std::span<const TaskTime> times) { busy.add_step(times); };
  Executor executor(session, many_small_tasks(), partition::CostModel(partition::Machine{}),
                    options);
  executor.initialise();
  double submit_us = 0;
  double total_us = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    const auto step = executor.submit({});
    executor.drain();
    total_us +=
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    submit_us += executor.wait(step).submit_us;
  }
  const double tasks = static_cast<double>(state.iterations()) * kTasks;
  state.counters["us_per_task"] = total_us / tasks;
  state.counters["submit_us_per_task"] = submit_us / tasks;
}

BENCHMARK_CAPTURE(empty_tasks, lws, "lws")->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(empty_tasks, dmda, "dmda")->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(empty_tasks, dmdas, "dmdas")->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(empty_tasks, dmdas_busy, "dmdas", true)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace hpdlf::runtime

BENCHMARK_MAIN();
