#include "partition/value_layout.hpp"

#include <algorithm>

namespace hpdlf::partition {
namespace {

using graph::kNone;
using graph::ValueId;

/// Rank that keeps a region to which the tiles `contributors` add: the first reader's, if it is one of theirs, so that the sum ends
/// where it is wanted (a gradient at its optimizer).
int owner_of_sum(const CutGraph& cut, ValueId value, const Box& box,
                 const std::vector<int>& contributors) {
  for (const Use& use : cut.uses_of(value)) {
    if (use.operand < 0) continue;
    const NodeGrid& grid = cut.grid(use.node);
    const auto& needs = grid.inputs[static_cast<std::size_t>(use.operand)];
    for (std::size_t t = 0; t < grid.tiles(); ++t)
      if (!intersect(needs[t], box).is_empty() &&
          std::find(contributors.begin(), contributors.end(), grid.ranks[t]) != contributors.end())
        return grid.ranks[t];
  }
  return contributors.front();
}

/// The distinct regions that a node's tiles write to output `index`, in order of the tiles.
std::vector<Piece> pieces_of_output(const CutGraph& cut, const graph::Node& node,
                                    const NodeGrid& grid, std::size_t index) {
  std::vector<Piece> pieces;
  std::vector<std::vector<int>> contributors;
  for (std::size_t t = 0; t < grid.tiles(); ++t) {
    const Box& box = grid.outputs[index][t];
    const auto same =
        std::find_if(pieces.begin(), pieces.end(), [&](const Piece& p) { return p.box == box; });
    const auto at = static_cast<std::size_t>(same - pieces.begin());
    if (same == pieces.end()) {
      pieces.push_back({.box = box, .reach = box});
      contributors.emplace_back();
    }
    contributors[at].push_back(grid.ranks[t]);
  }
  for (std::size_t p = 0; p < pieces.size(); ++p)
    pieces[p].rank = owner_of_sum(cut, node.outputs[index], pieces[p].box, contributors[p]);
  return pieces;
}

/// A persistent value that no node updates is one tile, where it is first read.
std::vector<Piece> whole_home(const CutGraph& cut, ValueId value) {
  const Box whole = Box::whole(cut.graph->value(value).type.extents);
  const auto& uses = cut.uses_of(value);
  const int rank = uses.empty() ? 0 : cut.grid(uses.front().node).ranks.front();
  return {{.box = whole, .reach = whole, .rank = rank}};
}

class Demands {
 public:
  Demands(const CutGraph& cut, std::vector<ValueLayout>& layouts) : cut_(cut), layouts_(layouts) {}

  void add(ValueId value, int rank, const Box& need) {
    auto& layout = layouts_[static_cast<std::size_t>(value)];
    if (layout.find_piece(rank, need) != nullptr || layout.find_replica(rank, need) != nullptr)
      return;
    if (Piece* piece = can_grow(value) ? piece_to_grow(layout, rank, need) : nullptr)
      piece->reach = hull(piece->reach, need);
    else
      layout.replicas.push_back({.box = need, .rank = rank});
  }

  /// Drops replicas that a margin or another replica made needless later.
  void prune() {
    for (auto& layout : layouts_) {
      const std::vector<Replica> all = layout.replicas;
      const auto holds = [&](std::size_t larger, std::size_t smaller) {
        if (all[larger].rank != all[smaller].rank || !all[larger].box.contains(all[smaller].box))
          return false;
        return larger < smaller || !(all[larger].box == all[smaller].box);
      };
      layout.replicas.clear();
      for (std::size_t r = 0; r < all.size(); ++r) {
        bool is_needed = layout.find_piece(all[r].rank, all[r].box) == nullptr;
        for (std::size_t other = 0; other < all.size() && is_needed; ++other)
          is_needed = other == r || !holds(other, r);
        if (is_needed) layout.replicas.push_back(all[r]);
      }
    }
  }

 private:
  /// Tiles kept between steps hold exactly their region.
  bool can_grow(ValueId value) const {
    return !cut_.is_persistent(value) && cut_.state_of[static_cast<std::size_t>(value)] == kNone;
  }

  /// The piece that holds the largest part of `need`, if that is worth it: less is copied than into a replica, but whoever else reads the
  /// piece waits for its margin. Margins along the channels are out of the question: the kernels' fast paths need them dense.
  static Piece* piece_to_grow(ValueLayout& layout, int rank, const Box& need) {
    constexpr std::int64_t kSmallestShare =
        4;  // a quarter: a slab of one plane and its two neighbours still grow
    Piece* best = nullptr;
    std::int64_t most = 0;
    for (Piece& piece : layout.pieces) {
      const int last = need.rank() - 1;
      const bool has_channels =
          last >= 0 && piece.box.lo[last] <= need.lo[last] && piece.box.hi[last] >= need.hi[last];
      const Box common = intersect(piece.box, need);
      if (piece.rank != rank || !has_channels || common.is_empty() || common.elements() <= most)
        continue;
      best = &piece;
      most = common.elements();
    }
    return kSmallestShare * most >= need.elements() ? best : nullptr;
  }

  const CutGraph& cut_;
  std::vector<ValueLayout>& layouts_;
};

void collect_demands(const CutGraph& cut, std::vector<ValueLayout>& layouts) {
  Demands demands(cut, layouts);
  const auto is_input = [&](ValueId v) { return cut.graph->value(v).role == graph::Role::input; };
  const auto pieces = [&](ValueId v) -> const std::vector<Piece>& {
    return layouts[static_cast<std::size_t>(v)].pieces;
  };
  for (std::size_t n = 0; n < cut.grids.size(); ++n) {
    const auto& node = cut.graph->nodes()[n];
    const NodeGrid& grid = cut.grids[n];
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      for (std::size_t t = 0; t < grid.tiles(); ++t)
        demands.add(node.inputs[i], grid.ranks[t], grid.inputs[i][t]);
    if (node.accumulate != kNone &&
        is_input(node.accumulate))  // gathered from its pieces otherwise
      for (const Piece& p : pieces(node.outputs[0])) demands.add(node.accumulate, p.rank, p.box);
  }
  for (const auto& [state, content] : cut.graph->updates())
    if (is_input(content))
      for (const Piece& p : pieces(state)) demands.add(content, p.rank, p.box);
  for (const auto& [name, value] : cut.graph->fetches())
    for (int rank = 0; rank < cut.ranks; ++rank) {
      if (is_input(value))
        demands.add(value, rank, Box::whole(cut.graph->value(value).type.extents));
      for (const Piece& p : std::vector<Piece>(pieces(value))) demands.add(value, rank, p.box);
    }
  demands.prune();
}

}  // namespace

Piece* ValueLayout::find_piece(int rank, const Box& box) {
  for (Piece& p : pieces)
    if (p.rank == rank && p.box.contains(box)) return &p;
  for (Piece& p : pieces)
    if (p.rank == rank && p.reach.contains(box)) return &p;
  return nullptr;
}

Replica* ValueLayout::find_replica(int rank, const Box& box) {
  for (Replica& r : replicas)
    if (r.rank == rank && r.box.contains(box)) return &r;
  return nullptr;
}

bool CutGraph::is_persistent(ValueId v) const {
  const graph::Role role = graph->value(v).role;
  return role == graph::Role::parameter || role == graph::Role::state ||
         role == graph::Role::constant;
}

CutGraph cut_graph(const graph::Graph& graph, const Plan& plan) {
  HPDLF_CHECK(plan.nodes.size() == graph.nodes().size(),
              "the plan covers {} nodes, graph \"{}\" has {}", plan.nodes.size(), graph.name(),
              graph.nodes().size());
  CutGraph cut{&graph, plan.ranks, {}, {}, {}, {}};
  cut.uses.resize(graph.values().size());
  cut.state_of.assign(graph.values().size(), kNone);
  cut.new_content.assign(graph.values().size(), kNone);
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const auto& node = graph.nodes()[n];
    cut.grids.push_back(make_grid(graph, node, plan.nodes[n], plan.ranks));
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      cut.uses[static_cast<std::size_t>(node.inputs[i])].push_back(
          {static_cast<graph::NodeId>(n), static_cast<int>(i)});
    if (node.accumulate != kNone)
      cut.uses[static_cast<std::size_t>(node.accumulate)].push_back(
          {static_cast<graph::NodeId>(n), -1});
  }
  for (const auto& [state, content] : graph.updates()) {
    HPDLF_CHECK(!cut.is_persistent(content),
                "\"{}\" is updated with the content of \"{}\", which is itself kept between steps",
                graph.value(state).name, graph.value(content).name);
    cut.state_of[static_cast<std::size_t>(content)] = state;
    cut.new_content[static_cast<std::size_t>(state)] = content;
  }
  return cut;
}

std::vector<ValueLayout> plan_layouts(const CutGraph& cut) {
  std::vector<ValueLayout> layouts(cut.graph->values().size());
  for (std::size_t n = 0; n < cut.grids.size(); ++n) {
    const auto& node = cut.graph->nodes()[n];
    for (std::size_t o = 0; o < node.outputs.size(); ++o)
      layouts[static_cast<std::size_t>(node.outputs[o])].pieces =
          pieces_of_output(cut, node, cut.grids[n], o);
  }
  for (std::size_t v = 0; v < layouts.size(); ++v) {
    const auto value = static_cast<ValueId>(v);
    if (!cut.is_persistent(value)) continue;
    const ValueId content = cut.new_content[v];
    const bool computed =
        content != kNone && cut.graph->value(content).role == graph::Role::computed;
    layouts[v].pieces =
        computed ? layouts[static_cast<std::size_t>(content)].pieces : whole_home(cut, value);
  }
  collect_demands(cut, layouts);
  return layouts;
}

}  // namespace hpdlf::partition
