// Lowering, in stages: cut every node (node_grid), decide where values live (value_layout) and which share tiles (sharing), make the
// tiles, then write the tasks node by node with the movements they need (movement, partial_sums).
// SPDX-License-Identifier: Apache-2.0
#include "partition/lower.hpp"

#include <algorithm>

#include "partition/movement.hpp"
#include "partition/partial_sums.hpp"
#include "partition/sharing.hpp"

namespace hpdlf::partition {
namespace {

using graph::kNone;
using graph::NodeId;
using graph::ValueId;

Tile::Role role_of_piece(const graph::Graph& graph, ValueId id) {
  const auto& value = graph.value(id);
  switch (value.role) {
    case graph::Role::parameter:
      return Tile::Role::parameter;
    case graph::Role::state:
      return Tile::Role::state;
    case graph::Role::constant:
      return Tile::Role::constant;
    case graph::Role::input:
      return Tile::Role::input;
    case graph::Role::computed:
      break;
  }
  return graph.node(value.producer).phase == graph::Phase::backward ? Tile::Role::gradient
                                                                    : Tile::Role::activation;
}

/// Numbers the tiles of pieces and replicas. A shared tile's storage is the hull of what its values ask for.
void make_tiles(const graph::Graph& graph, const std::vector<ValueId>& host,
                std::vector<ValueLayout>& layouts, TaskGraph& out) {
  const auto make = [&](ValueId value, const Box& box, const Box& storage, int rank,
                        Tile::Role role) {
    out.tiles.push_back({value, box, storage, graph.value(value).type.dtype, rank, role});
    return static_cast<TileId>(out.tiles.size()) - 1;
  };
  for (std::size_t v = 0; v < layouts.size(); ++v) {
    const auto value = static_cast<ValueId>(v);
    if (host[v] == kNone)
      for (Piece& piece : layouts[v].pieces)
        piece.tile = make(value, piece.box, piece.reach, piece.rank, role_of_piece(graph, value));
    const auto role =
        graph.value(value).role == graph::Role::input ? Tile::Role::input : Tile::Role::copy;
    for (Replica& replica : layouts[v].replicas)
      replica.tile = make(value, replica.box, replica.box, replica.rank, role);
  }
  for (std::size_t v = 0; v < layouts.size(); ++v) {
    if (host[v] == kNone) continue;
    auto root = static_cast<std::size_t>(host[v]);
    while (host[root] != kNone) root = static_cast<std::size_t>(host[root]);
    for (std::size_t p = 0; p < layouts[v].pieces.size(); ++p) {
      Piece& piece = layouts[v].pieces[p];
      piece.tile = layouts[root].pieces[p].tile;
      Box& storage = out.tiles[static_cast<std::size_t>(piece.tile)].storage;
      storage = hull(storage, piece.reach);
    }
  }
}

class Lowering {
 public:
  Lowering(const CutGraph& cut, int lanes, std::vector<ValueLayout>& layouts,
           const std::vector<ValueId>& host, TaskGraph& out)
      : cut_(cut),
        graph_(*cut.graph),
        lanes_(lanes),
        layouts_(layouts),
        host_(host),
        out_(out),
        writer_(out, layouts) {}

  void write_step() {
    for (std::size_t v = 0; v < layouts_.size(); ++v)
      if (graph_.values()[v].role == graph::Role::input)
        for (const Replica& fed : layouts_[v].replicas)
          writer_.feed(static_cast<ValueId>(v), fed.tile);
    for (const auto& [name, value] : graph_.fetches())
      if (graph_.value(value).producer == kNone) write_fetch(value);
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) write_node(static_cast<NodeId>(n));
    for (const auto& [state, content] : graph_.updates())
      if (host_[static_cast<std::size_t>(content)] != state) {
        writer_.set_node(graph_.value(content).producer);
        for (const Piece& home : layout(state).pieces) writer_.gather(content, home.box, home.tile);
      }
  }

 private:
  ValueLayout& layout(ValueId value) { return layouts_[static_cast<std::size_t>(value)]; }

  void write_node(NodeId id) {
    const auto& node = graph_.node(id);
    const NodeGrid& grid = cut_.grid(id);
    writer_.set_node(id);
    if (node.accumulate != kNone &&
        host_[static_cast<std::size_t>(node.outputs[0])] != node.accumulate)
      for (const Piece& p : layout(node.outputs[0]).pieces)
        writer_.gather(node.accumulate, p.box, p.tile);
    std::vector<OutputTargets> outputs;
    for (std::size_t o = 0; o < node.outputs.size(); ++o)
      outputs.push_back(assign_targets({.pieces = layout(node.outputs[o]).pieces,
                                        .boxes = grid.outputs[o],
                                        .ranks = grid.ranks,
                                        .can_accumulate = o == 0 && node.spec->accumulates,
                                        .has_base = o == 0 && node.accumulate != kNone,
                                        .lanes = lanes_},
                                       writer_, out_));
    for (std::size_t t = 0; t < grid.tiles(); ++t) write_tile(id, t, outputs);
    for (const auto& output : outputs) write_sums(output.sums, writer_);
    for (const ValueId value : node.outputs)
      if (is_fetched(value)) write_fetch(value);
  }

  void write_tile(NodeId id, std::size_t t, const std::vector<OutputTargets>& outputs) {
    const auto& node = graph_.node(id);
    const NodeGrid& grid = cut_.grid(id);
    Task task;
    task.op = node.spec->name;
    task.attrs = &node.attrs;
    task.node = id;
    task.phase = node.phase;
    task.rank = static_cast<std::int16_t>(grid.ranks[t]);
    task.inputs = static_cast<int>(node.inputs.size());
    task.region = grid.regions[t];
    const std::size_t first_movement = out_.tasks.size();
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      task.access.push_back(writer_.read(node.inputs[i], grid.ranks[t], grid.inputs[i][t]));
    if (out_.tasks.size() > first_movement)
      delay_copies(first_movement, own_tile(last_computed(node), grid, t));
    for (const auto& output : outputs)
      task.access.push_back(writer_.write(output.targets[t].tile, output.targets[t].box));
    task.accumulate = !outputs.empty() && outputs[0].targets[t].accumulate;
    task.after = own_tile(grid.after, grid, t);
    task.cost = cost_of(node, task);
    writer_.push(std::move(task));
  }

  /// Of the tiles of `value` on the rank of tile `t` the one that lies where `t` lies among the node's own; -1 if there is none.
  TileId own_tile(ValueId value, const NodeGrid& grid, std::size_t t) {
    if (value == kNone) return -1;
    std::vector<TileId> own;
    for (const Piece& p : layout(value).pieces)
      if (p.rank == grid.ranks[t]) own.push_back(p.tile);
    return own.empty() ? -1 : own[t * own.size() / grid.tiles()];
  }

  /// Of what the node reads the value that is computed last; kNone if it reads nothing that is computed.
  ValueId last_computed(const graph::Node& node) const {
    ValueId last = kNone;
    for (const ValueId v : node.inputs)
      if (graph_.value(v).producer != kNone &&
          (last == kNone || graph_.value(v).producer > graph_.value(last).producer))
        last = v;
    return last;
  }

  /// Copies of parameters could be made as soon as the step begins, and would only take memory until they are read: those among the
  /// tasks from `first` on wait for `awaited`.
  void delay_copies(std::size_t first, TileId awaited) {
    if (awaited < 0 || out_.tile(awaited).is_persistent()) return;
    for (std::size_t i = first; i < out_.tasks.size(); ++i) {
      Task& task = out_.tasks[i];
      if (task.op == "Copy" && task.rank == out_.tile(awaited).owner &&
          out_.tile(task.access[0].tile).is_persistent())
        task.after = awaited;
    }
  }

  /// The operator's cost for operands as large as the tile's.
  graph::Cost cost_of(const graph::Node& node, const Task& task) const {
    graph::OpCall call{node.spec, &node.attrs, {}, {}};
    for (std::size_t i = 0; i < task.access.size(); ++i) {
      auto& operands = i < static_cast<std::size_t>(task.inputs) ? call.inputs : call.outputs;
      operands.push_back({out_.tile(task.access[i].tile).dtype, task.access[i].view.extents()});
    }
    return graph::cost_of(call);
  }

  bool is_fetched(ValueId value) const {
    return std::any_of(graph_.fetches().begin(), graph_.fetches().end(),
                       [&](const auto& f) { return f.second == value; });
  }

  /// To the host of every rank, as soon as it is there.
  void write_fetch(ValueId value) {
    const Box whole = Box::whole(graph_.value(value).type.extents);
    for (int rank = 0; rank < cut_.ranks; ++rank) {
      if (layout(value).pieces.empty()) writer_.fetch(value, writer_.read(value, rank, whole));
      for (const Piece& p : layout(value).pieces)
        writer_.fetch(value, writer_.read(value, rank, p.box));
    }
  }

  const CutGraph& cut_;
  const graph::Graph& graph_;
  int lanes_;
  std::vector<ValueLayout>& layouts_;
  const std::vector<ValueId>& host_;
  TaskGraph& out_;
  TaskWriter writer_;
};

void find_releases(TaskGraph& graph) {
  std::vector<TaskId> last(graph.tiles.size(), -1);
  for (std::size_t t = 0; t < graph.tasks.size(); ++t) {
    const Task& task = graph.tasks[t];
    if (task.after >= 0) last[static_cast<std::size_t>(task.after)] = static_cast<TaskId>(t);
    for (const Access& a : task.access)
      last[static_cast<std::size_t>(a.tile)] = static_cast<TaskId>(t);
  }
  graph.released_after.assign(graph.tasks.size(), {});
  for (std::size_t i = 0; i < graph.tiles.size(); ++i)
    if (last[i] >= 0 && !graph.tiles[i].is_persistent())
      graph.released_after[static_cast<std::size_t>(last[i])].push_back(static_cast<TileId>(i));
}

}  // namespace

TaskGraph lower(std::shared_ptr<const graph::Graph> graph, const Plan& plan) {
  TaskGraph out;
  out.graph = std::move(graph);
  out.ranks = plan.ranks;
  const CutGraph cut = cut_graph(*out.graph, plan);
  std::vector<ValueLayout> layouts = plan_layouts(cut);
  const std::vector<ValueId> host = plan_sharing(cut, layouts);
  make_tiles(*out.graph, host, layouts, out);
  out.home_tiles.resize(layouts.size());
  for (std::size_t v = 0; v < layouts.size(); ++v)
    if (cut.is_persistent(static_cast<ValueId>(v)))
      for (const Piece& home : layouts[v].pieces) out.home_tiles[v].push_back(home.tile);
  Lowering(cut, plan.workers, layouts, host, out).write_step();
  find_releases(out);
  return out;
}

}  // namespace hpdlf::partition
