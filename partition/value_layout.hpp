// Where the content of every value lives: which tiles, on which ranks, with how much margin.
//
// A computed value has *pieces*: the regions its producer's tiles write, disjoint and covering. Persistent values have pieces too: their
// home tiles. Readers state demands before any tile is made; a demand of which a piece of the reader's rank holds a good part widens
// that piece's margin, any other becomes a *replica*, a tile gathered from several pieces (resharding). Graph inputs have replicas only:
// the host's tensor is copied into each. Knows regions and ranks only; movement.hpp makes the tasks that keep the promises made here.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "partition/node_grid.hpp"
#include "partition/task_graph.hpp"

namespace hpdlf::partition {

struct Piece {
  Box box;    ///< what the producer writes
  Box reach;  ///< box and the margin that readers want around it
  int rank = 0;
  TileId tile = -1;
  bool margin_filled = false;  ///< while tasks are emitted
};

struct Replica {
  Box box;
  int rank = 0;
  TileId tile = -1;
  bool filled = false;  ///< while tasks are emitted
};

struct ValueLayout {
  std::vector<Piece> pieces;
  std::vector<Replica> replicas;

  /// A piece of `rank` whose box (preferred) or margin holds `box`; nullptr if there is none.
  [[nodiscard]] Piece* find_piece(int rank, const Box& box);
  [[nodiscard]] Replica* find_replica(int rank, const Box& box);
};

/// Where a value is read. `operand` -1: as Node::accumulate.
struct Use {
  graph::NodeId node;
  int operand;
};

/// The graph, cut by a plan: what every stage of the lowering reads.
struct CutGraph {
  const graph::Graph* graph;
  int ranks;
  std::vector<NodeGrid> grids;         ///< [NodeId]
  std::vector<std::vector<Use>> uses;  ///< [ValueId] in node order
  std::vector<graph::ValueId>
      state_of;  ///< [ValueId] the state whose new content it is, else kNone
  std::vector<graph::ValueId>
      new_content;  ///< [ValueId] of a state: its content after the step, else kNone

  [[nodiscard]] const std::vector<Use>& uses_of(graph::ValueId v) const {
    return uses[static_cast<std::size_t>(v)];
  }
  [[nodiscard]] const NodeGrid& grid(graph::NodeId n) const {
    return grids[static_cast<std::size_t>(n)];
  }
  [[nodiscard]] bool is_persistent(graph::ValueId v) const;
};
[[nodiscard]] CutGraph cut_graph(const graph::Graph& graph, const Plan& plan);

/// Pieces and replicas of every value; tiles are not numbered yet.
[[nodiscard]] std::vector<ValueLayout> plan_layouts(const CutGraph& cut);

}  // namespace hpdlf::partition
