// Hand-made task graphs of few tiles, for tests of what reads task graphs.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "graph/ir.hpp"
#include "partition/task_graph.hpp"

namespace hpdlf::test {

/// Copies of one input value, a tile each; tasks are added by hand.
class TaskGraphFixture {
 public:
  explicit TaskGraphFixture(int ranks = 1) {
    auto g = std::make_shared<graph::Graph>("fixture");
    value_ = g->add_input("x", {DType::f32, {kElements}});
    tasks_.graph = g;
    tasks_.ranks = ranks;
    tasks_.home_tiles.resize(1);
  }

  partition::TileId tile(int owner = 0) {
    const Box box = Box::whole({kElements});
    tasks_.tiles.push_back({value_, box, box, DType::f32, owner, partition::Tile::Role::copy});
    return static_cast<partition::TileId>(tasks_.tiles.size()) - 1;
  }

  partition::Task& feed(partition::TileId out, double bytes = 0) {
    return add("Feed", {}, out, bytes);
  }
  /// Reads `in`, writes `out`; takes `bytes` / bandwidth.
  partition::Task& copy(partition::TileId in, partition::TileId out, double bytes = 0) {
    return add("Copy", {in}, out, bytes);
  }
  partition::Task& transfer(partition::TileId in, partition::TileId out) {
    partition::Task& task = add("Transfer", {in}, out, static_cast<double>(kElements * 4));
    task.rank = static_cast<std::int16_t>(tasks_.tile(in).owner);
    task.to_rank = static_cast<std::int16_t>(tasks_.tile(out).owner);
    return task;
  }

  /// Fills in the releases.
  partition::TaskGraph& finish() {
    tasks_.released_after.assign(tasks_.tasks.size(), {});
    std::vector<std::size_t> last(tasks_.tiles.size(), 0);
    for (std::size_t t = 0; t < tasks_.tasks.size(); ++t)
      for (const auto& a : tasks_.tasks[t].access) last[static_cast<std::size_t>(a.tile)] = t;
    for (std::size_t i = 0; i < last.size(); ++i)
      tasks_.released_after[last[i]].push_back(static_cast<partition::TileId>(i));
    return tasks_;
  }

  static constexpr std::int64_t kElements = 256;

 private:
  partition::Task& add(std::string_view op, std::vector<partition::TileId> in,
                       partition::TileId out, double bytes) {
    partition::Task task;
    task.op = op;
    task.value = in.empty() ? value_ : graph::kNone;
    task.phase = in.empty() ? graph::Phase::load : graph::Phase::move;
    task.rank = static_cast<std::int16_t>(tasks_.tile(out).owner);
    task.inputs = static_cast<int>(in.size());
    task.cost.bytes_read = bytes;
    const Box all = Box::whole({kElements});
    for (const auto tile : in) task.access.push_back({tile, partition::Access::Mode::read, all});
    bool is_written = false;
    for (const auto& other : tasks_.tasks)
      for (const auto& a : other.access) is_written |= a.tile == out;
    task.access.push_back(
        {out, is_written ? partition::Access::Mode::read_write : partition::Access::Mode::write,
         all});
    tasks_.tasks.push_back(std::move(task));
    return tasks_.tasks.back();
  }

  graph::ValueId value_;
  partition::TaskGraph tasks_;
};

}  // namespace hpdlf::test
