// Writes tasks into a task graph, and before them the movements that bring their operands where they are read.
//
// Movements are made lazily, right before the first task that needs them, and once: a margin, a replica or a strip that is filled is
// reused by every later reader. Between ranks the smallest region travels: a whole tile as it is, a part of one packed into a strip.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "partition/value_layout.hpp"

namespace hpdlf::partition {

class TaskWriter {
 public:
  /// Keeps references; `layouts` have their tiles. @param tiles already in `graph`.
  TaskWriter(TaskGraph& graph, std::vector<ValueLayout>& layouts);

  /// Movements from here on are for this node.
  void set_node(graph::NodeId node) { node_ = node; }
  TileId add_tile(const Tile& tile);

  /// An access that reads region `box` of `value` on `rank`; adds the movements that make it there.
  [[nodiscard]] Access read(graph::ValueId value, int rank, const Box& box);
  /// An access that writes region `view` of a tile: `write` the first time in the step, `read_write` after, for the rest is alive.
  [[nodiscard]] Access write(TileId tile, const Box& view);
  /// Fills region `box` of `dst` with the content of `value`, from wherever it is.
  void gather(graph::ValueId value, const Box& box, TileId dst);
  /// A copy of the whole tile `src` on rank `to`.
  [[nodiscard]] TileId send(TileId src, int to);

  void feed(graph::ValueId value, TileId dst);
  void fetch(graph::ValueId value, const Access& from);
  /// First += the others, in the order given: region `box` of tiles of one rank.
  void sum(std::span<const TileId> tiles, const Box& box);
  void push(Task task);

 private:
  /// A tile on `rank` that holds exactly region `box` of tile `source`.
  struct Strip {
    TileId source;
    Box box;
    int rank;
    TileId tile;
  };
  /// A region of a tile.
  struct Part {
    TileId tile;
    Box box;
  };
  /// One task: what one tile is put together from would be written by one after the other anyway.
  void copy(std::span<const Part> parts, TileId dst);
  void transfer(TileId src, TileId dst);
  void fill_margin(graph::ValueId value, Piece& piece);
  /// What other pieces than `dst` hold of `box`.
  void gather_pieces(graph::ValueId value, const Box& box, TileId dst);
  /// Brings `box` of piece `from` to the rank of `dst`. @return the tile there that it is to be copied from; -1: it was sent into `dst`
  TileId bring(graph::ValueId value, const Piece& from, const Box& box, TileId dst);
  const Strip* find_strip(graph::ValueId value, TileId src, const Box& box, int rank) const;
  TileId strip(graph::ValueId value, TileId src, const Box& box, int rank);
  TileId add_copy(TileId like, const Box& box, int owner);
  Task movement(std::string_view op, std::int64_t elements, TileId tile) const;

  TaskGraph& graph_;
  std::vector<ValueLayout>& layouts_;
  std::vector<bool> written_;               // [tile] holds something in this step
  std::vector<std::vector<Strip>> strips_;  // [ValueId]
  graph::NodeId node_ = graph::kNone;
};

}  // namespace hpdlf::partition
