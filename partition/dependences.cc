#include "partition/dependences.hpp"

#include <algorithm>
#include <utility>

namespace hpdlf::partition {
namespace {

struct TileState {
  TaskId writer = -1;
  std::vector<TaskId> readers;  // since the writer
};

using Edges = std::vector<std::pair<TaskId, TaskId>>;

void add_edges(const Task& task, TaskId id, std::vector<TileState>& tiles, Edges& edges) {
  const auto wait_for = [&](TaskId other) {
    if (other >= 0 && other != id) edges.emplace_back(other, id);
  };
  if (task.after >= 0) {
    TileState& tile = tiles[static_cast<std::size_t>(task.after)];
    wait_for(tile.writer);
    tile.readers.push_back(id);
  }
  for (const Access& a : task.access) {
    TileState& tile = tiles[static_cast<std::size_t>(a.tile)];
    wait_for(tile.writer);
    if (a.mode == Access::Mode::read) {
      tile.readers.push_back(id);
      continue;
    }
    for (const TaskId reader : tile.readers) wait_for(reader);
    tile = {id, {}};
  }
}

}  // namespace

Dependences::Dependences(const TaskGraph& graph) {
  std::vector<TileState> tiles(graph.tiles.size());
  Edges edges;
  TaskId id = 0;
  for (const Task& task : graph.tasks) add_edges(task, id++, tiles, edges);
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  predecessors_.assign(static_cast<std::size_t>(id), 0);
  begin_.assign(static_cast<std::size_t>(id) + 1, 0);
  for (const auto& [from, to] : edges) {
    edges_.push_back(to);
    ++begin_[static_cast<std::size_t>(from) + 1];
    ++predecessors_[static_cast<std::size_t>(to)];
  }
  for (std::size_t t = 0; t < predecessors_.size(); ++t) begin_[t + 1] += begin_[t];
}

}  // namespace hpdlf::partition
