// What the executor adds to StarPU's own time a task: the same tasks submitted by the executor and by hand, in turn, on two workers.
//
// A task reads two tiles of one number and writes a third, out of 256: what is timed is submission, dependences and scheduling. By hand
// means starpu_task_create and starpu_task_submit with the same handles, modes, priorities and estimates, and an empty function. A time
// is that from the first submission to the end of the last task; the ratio is the median over pairs. Exit code 1 where it is above
// kMostTimesBare. `busy meter` also computes how busy the workers are, as `hpdlf train` does while the next step runs; here it comes after
// each step, and its row is not judged.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <starpu.h>
#include <vector>

#include "runtime/busy_meter.hpp"
#include "runtime/executor.hpp"
#include "support/hand_task_graph.hpp"

namespace hpdlf::runtime {
namespace {

constexpr double kMostTimesBare = 1.3;  // promised in docs/performance.md
constexpr int kTasks = 50000, kPairs = 9, kWorkers = 2;
constexpr std::size_t kTiles = 256;

/// Operands of task `i`: two that it reads, one that it writes; all different.
std::array<std::size_t, 3> operands(std::size_t i) {
  return {i % kTiles, (7 * i + 1) % kTiles, (i + kTiles / 2) % kTiles};
}
std::int16_t priority(std::size_t i) {
  return static_cast<std::int16_t>(i % partition::kPriorityLevels);
}

std::shared_ptr<const partition::TaskGraph> many_small_tasks() {
  auto graph = std::make_shared<graph::Graph>("small");
  const graph::ValueId x = graph->add_value({.name = "x", .type = {DType::f32, {1}}});
  test::HandTaskGraph hand(graph);
  std::vector<partition::TileId> tiles;
  for (std::size_t i = 0; i < kTiles; ++i)
    tiles.push_back(hand.tile(x, partition::Tile::Role::parameter));
  for (std::size_t i = 0; i < kTasks; ++i) {
    const auto [a, b, y] = operands(i);
    hand.task("Sum", {tiles[a], tiles[b]}, {tiles[y]}).priority = priority(i);
  }
  return hand.finish();
}

double us_a_task(const auto& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
             .count() /
         kTasks;
}

/// The same tasks without the executor.
class BareTasks {
 public:
  BareTasks() {
    for (std::size_t i = 0; i < kTiles; ++i)
      starpu_variable_data_register(&handles_[i], STARPU_MAIN_RAM,
                                    reinterpret_cast<std::uintptr_t>(&numbers_[i]), sizeof(float));
    model_.type = STARPU_PER_ARCH;
    model_.symbol = "bare";
    model_.arch_cost_function = [](starpu_task*, starpu_perfmodel_arch*, unsigned) { return 1.0; };
    starpu_codelet_init(&codelet_);
    codelet_.cpu_funcs[0] = [](void**, void*) {};
    codelet_.nbuffers = 3;
    codelet_.modes[0] = codelet_.modes[1] = STARPU_R;
    codelet_.modes[2] = STARPU_W;
    codelet_.name = "bare";
    codelet_.model = &model_;
  }
  ~BareTasks() {
    for (auto* handle : handles_) starpu_data_unregister(handle);
  }
  BareTasks(const BareTasks&) = delete;
  BareTasks& operator=(const BareTasks&) = delete;

  void run() {
    for (std::size_t i = 0; i < kTasks; ++i) {
      starpu_task* task = starpu_task_create();
      task->cl = &codelet_;
      task->priority = priority(i);
      const auto used = operands(i);
      for (std::size_t k = 0; k < used.size(); ++k) task->handles[k] = handles_[used[k]];
      const int code = starpu_task_submit(task);
      HPDLF_ASSERT(code == 0, "starpu_task_submit returned {}", code);
    }
    starpu_task_wait_for_all();
  }

 private:
  std::array<float, kTiles> numbers_{};
  std::array<starpu_data_handle_t, kTiles> handles_{};
  starpu_perfmodel model_{};
  starpu_codelet codelet_{};
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Prints a row. @return the ratio
double compare(const char* scheduler, bool measures_busy) {
  Session session({.cpu_workers = kWorkers, .scheduler = scheduler});
  BusyMeter busy(kWorkers);
  ExecutorOptions options;
  if (measures_busy)
    options.on_times = [&](std::int64_t, std::span<const TaskTime> times) { busy.add_step(times); };
  Executor executor(session, many_small_tasks(), partition::CostModel(partition::Machine{}),
                    options);
  executor.initialise();
  BareTasks bare;
  std::vector<double> ours, by_hand, ratios, submits;
  const auto step = [&] {
    const auto number = executor.submit({});
    executor.drain();
    submits.push_back(executor.wait(number).submit_us / kTasks);
  };
  step();  // StarPU allocates what both keep for the next ones
  bare.run();
  submits.clear();
  for (int i = 0; i < kPairs; ++i) {
    by_hand.push_back(us_a_task([&] { bare.run(); }));
    ours.push_back(us_a_task(step));
    ratios.push_back(ours.back() / by_hand.back());
  }
  const double ratio = median(ratios);
  fmt::print("{:<20} {:>10.2f} {:>10.2f} {:>10.2f} {:>8.2f}\n",
             fmt::format("{}{}", scheduler, measures_busy ? ", busy meter" : ""), median(by_hand),
             median(ours), median(submits), ratio);
  return ratio;
}

}  // namespace
}  // namespace hpdlf::runtime

int main() {
  using namespace hpdlf::runtime;
  fmt::print("{:<20} {:>10} {:>10} {:>10} {:>8}\n{:<20} {:>10} {:>10} {:>10}\n", "us a task",
             "StarPU", "executor", "submit()", "ratio", "scheduler", "", "", "of it");
  double most = 0;
  for (const char* scheduler : {"lws", "dmda", "dmdas", "prio"})
    most = std::max(most, compare(scheduler, false));
  compare("prio", true);
  fmt::print("most {:.2f}, promised {}\n", most, kMostTimesBare);
  return most <= kMostTimesBare ? EXIT_SUCCESS : EXIT_FAILURE;
}
