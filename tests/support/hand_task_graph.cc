#include "support/hand_task_graph.hpp"

namespace hpdlf::test {

using partition::Access;
using partition::Task;
using partition::Tile;
using partition::TileId;

HandTaskGraph::HandTaskGraph(std::shared_ptr<const graph::Graph> graph, int ranks)
    : graph_(std::make_shared<partition::TaskGraph>()) {
  graph_->home_tiles.resize(graph->values().size());
  graph_->graph = std::move(graph);
  graph_->ranks = ranks;
}

TileId HandTaskGraph::tile(graph::ValueId value, Tile::Role role, int owner) {
  return tile(value, Box::whole(graph_->graph->value(value).type.extents), role, owner);
}

TileId HandTaskGraph::tile(graph::ValueId value, const Box& box, Tile::Role role, int owner) {
  const auto id = static_cast<TileId>(graph_->tiles.size());
  graph_->tiles.push_back({value, box, box, graph_->graph->value(value).type.dtype, owner, role});
  if (graph_->tiles.back().is_persistent())
    graph_->home_tiles[static_cast<std::size_t>(value)].push_back(id);
  return id;
}

Task& HandTaskGraph::task(std::string_view op, const std::vector<Operand>& inputs,
                          const std::vector<Operand>& outputs, const Attrs* attrs) {
  Task task;
  task.op = op;
  task.attrs = attrs;
  task.inputs = static_cast<int>(inputs.size());
  const auto add = [&](const std::vector<Operand>& operands, Access::Mode mode) {
    for (const Operand& o : operands)
      task.access.push_back({o.tile, mode, o.has_view ? o.view : graph_->tile(o.tile).storage});
  };
  add(inputs, Access::Mode::read);
  add(outputs, Access::Mode::write);
  task.rank = static_cast<std::int16_t>(graph_->tile(task.access.back().tile).owner);
  graph_->tasks.push_back(std::move(task));
  return graph_->tasks.back();
}

void HandTaskGraph::feed(TileId tile) { task("Feed", {}, {tile}).value = graph_->tile(tile).value; }

void HandTaskGraph::fetch(TileId tile) {
  task("Fetch", {tile}, {}).value = graph_->tile(tile).value;
}

void HandTaskGraph::transfer(TileId from, TileId to) {
  Task& t = task("Transfer", {from}, {to});
  t.rank = static_cast<std::int16_t>(graph_->tile(from).owner);
  t.to_rank = static_cast<std::int16_t>(graph_->tile(to).owner);
}

std::shared_ptr<const partition::TaskGraph> HandTaskGraph::finish() {
  std::vector<int> last_use(graph_->tiles.size(), -1);
  for (std::size_t t = 0; t < graph_->tasks.size(); ++t)
    for (const Access& access : graph_->tasks[t].access)
      last_use[static_cast<std::size_t>(access.tile)] = static_cast<int>(t);
  graph_->released_after.resize(graph_->tasks.size());
  for (std::size_t i = 0; i < graph_->tiles.size(); ++i)
    if (last_use[i] >= 0 && !graph_->tiles[i].is_persistent())
      graph_->released_after[static_cast<std::size_t>(last_use[i])].push_back(
          static_cast<TileId>(i));
  return graph_;
}

}  // namespace hpdlf::test
