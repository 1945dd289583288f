#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "partition/cost_model.hpp"
#include "partition/dependences.hpp"
#include "partition/lower.hpp"
#include "partition/memory_model.hpp"

namespace hpdlf::partition {
namespace {

/// Of what the step holds at its peak: nodes that so much waits for go first.
constexpr double kMuch = 0.01;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

/// [tile] The phase of the node that uses it last, if the step releases it.
std::vector<std::optional<graph::Phase>> last_phases(const TaskGraph& graph) {
  std::vector<std::optional<graph::Phase>> phases(graph.tiles.size());
  for (std::size_t t = 0; t < graph.tasks.size(); ++t)
    for (const TileId tile : graph.released_after[t])
      if (graph.tasks[t].node != graph::kNone)
        phases[at(tile)] = graph.graph->node(graph.tasks[t].node).phase;
  return phases;
}

/// [node] Much memory is free once it and others of its phase have read it.
std::vector<bool> frees_much(const TaskGraph& graph) {
  std::int64_t most = 0;  // of the fullest rank
  for (const MemoryUse& use : sequential_memory(graph)) most = std::max(most, use.peak - use.kept);
  const auto last_phase = last_phases(graph);
  std::vector<std::set<TileId>> freed(graph.graph->nodes().size());
  for (const Task& task : graph.tasks) {
    if (task.node == graph::kNone) continue;
    for (int i = 0; i < task.inputs; ++i) {
      const TileId tile = task.access[at(i)].tile;
      if (last_phase[at(tile)] == graph.graph->node(task.node).phase)
        freed[at(task.node)].insert(tile);
    }
  }
  std::vector<bool> result;
  for (const auto& tiles : freed) {
    std::int64_t bytes = 0;
    for (const TileId tile : tiles) bytes += graph.tile(tile).bytes();
    result.push_back(static_cast<double>(bytes) > kMuch * static_cast<double>(most));
  }
  return result;
}

}  // namespace

void set_priorities(TaskGraph& graph, const CostModel& model) {
  const Dependences dependences(graph);
  const std::vector<bool> goes_first = frees_much(graph);
  std::vector<double> rank(graph.tasks.size(),
                           0);  // seconds from the start of the task to the end of the step
  double longest = 0;
  for (std::size_t t = graph.tasks.size(); t-- > 0;) {
    for (const TaskId next : dependences.successors(t)) rank[t] = std::max(rank[t], rank[at(next)]);
    rank[t] += model.seconds(graph.tasks[t]);
    longest = std::max(longest, rank[t]);
  }
  // The upper half of the levels, in the order of the tasks: StarPU's schedulers take equal ones in the order in which they become ready.
  constexpr int kHalf = kPriorityLevels / 2;
  const auto tasks = static_cast<std::int64_t>(graph.tasks.size());
  for (std::size_t t = 0; t < graph.tasks.size(); ++t) {
    Task& task = graph.tasks[t];
    const bool is_first = task.node != graph::kNone && goes_first[at(task.node)];
    task.priority = static_cast<std::int16_t>(
        is_first ? kPriorityLevels - 1 - static_cast<std::int64_t>(t) * kHalf / tasks
                 : static_cast<std::int64_t>(rank[t] / longest * (kHalf - 1)));
  }
}

TaskGraph lower(std::shared_ptr<const graph::Graph> graph, const Plan& plan,
                const CostModel& model) {
  TaskGraph tasks = lower(std::move(graph), plan);
  set_slowness(tasks, model);
  set_priorities(tasks, model);
  return tasks;
}

}  // namespace hpdlf::partition
