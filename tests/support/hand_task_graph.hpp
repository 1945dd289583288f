// Task graphs written by hand, for tests of what runs them: no planner, no lowering.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "partition/task_graph.hpp"

namespace hpdlf::test {

/// Tasks in the order of the calls; tiles are released after their last use.
class HandTaskGraph {
 public:
  explicit HandTaskGraph(std::shared_ptr<const graph::Graph> graph, int ranks = 1);

  /// A tile over the whole of `value`, or over `box` of it.
  partition::TileId tile(graph::ValueId value,
                         partition::Tile::Role role = partition::Tile::Role::activation,
                         int owner = 0);
  partition::TileId tile(graph::ValueId value, const Box& box,
                         partition::Tile::Role role = partition::Tile::Role::activation,
                         int owner = 0);

  /// One access: the whole tile, or a part of it.
  struct Operand {
    Operand(partition::TileId t) : tile(t) {}  // NOLINT: an operand is a tile as a rule
    Operand(partition::TileId t, Box v) : tile(t), view(std::move(v)), has_view(true) {}
    partition::TileId tile;
    Box view;
    bool has_view = false;
  };
  /// A kernel call on the rank of its last operand. The returned task may be changed until the next call.
  partition::Task& task(std::string_view op, const std::vector<Operand>& inputs,
                        const std::vector<Operand>& outputs, const Attrs* attrs = nullptr);
  void feed(partition::TileId tile);
  void fetch(partition::TileId tile);
  void transfer(partition::TileId from, partition::TileId to);

  [[nodiscard]] std::shared_ptr<const partition::TaskGraph> finish();

 private:
  std::shared_ptr<partition::TaskGraph> graph_;
};

}  // namespace hpdlf::test
