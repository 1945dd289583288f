#include "partition/memory_model.hpp"

#include <algorithm>

namespace hpdlf::partition {
namespace {

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

}  // namespace

MemoryMeter::MemoryMeter(const TaskGraph& graph)
    : graph_(graph),
      users_left_(graph.tiles.size(), 0),
      alive_(graph.tiles.size(), false),
      now_(at(graph.ranks), 0) {
  for (const Task& task : graph.tasks) {
    for (const Access& a : task.access) ++users_left_[at(a.tile)];
    if (task.after >= 0) ++users_left_[at(task.after)];
  }
  for (std::size_t i = 0; i < graph.tiles.size(); ++i) {
    alive_[i] = graph.tiles[i].is_persistent();
    if (alive_[i]) now_[at(graph.tiles[i].owner)] += graph.tiles[i].bytes();
  }
  peak_ = now_;
}

void MemoryMeter::start(const Task& task) {
  for (const Access& a : task.access) {
    if (alive_[at(a.tile)]) continue;
    alive_[at(a.tile)] = true;
    const std::size_t rank = at(graph_.tile(a.tile).owner);
    now_[rank] += graph_.tile(a.tile).bytes();
    peak_[rank] = std::max(peak_[rank], now_[rank]);
  }
}

void MemoryMeter::end(const Task& task) {
  for (const Access& a : task.access) end_use(a.tile);
  if (task.after >= 0) end_use(task.after);
}

void MemoryMeter::end_use(TileId id) {
  if (--users_left_[at(id)] > 0 || graph_.tile(id).is_persistent()) return;
  alive_[at(id)] = false;
  now_[at(graph_.tile(id).owner)] -= graph_.tile(id).bytes();
}

std::vector<MemoryUse> sequential_memory(const TaskGraph& graph) {
  MemoryMeter meter(graph);
  std::vector<MemoryUse> use(at(graph.ranks));
  for (std::size_t r = 0; r < use.size(); ++r) use[r].kept = meter.peak_bytes()[r];
  for (const Task& task : graph.tasks) {
    meter.start(task);
    meter.end(task);
  }
  for (std::size_t r = 0; r < use.size(); ++r) use[r].peak = meter.peak_bytes()[r];
  return use;
}

}  // namespace hpdlf::partition
