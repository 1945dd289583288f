// The task graph: what one training (or inference) step does, tile by tile, with owners and priorities.
//
// The simulator and the executor both read it and nothing else. `tasks` is in an order in which running them one after the other is
// right; that order, with the access modes, is the meaning of the graph. Tiles of parameters and state are updated in place.
// Knows nothing of StarPU.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ir.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::partition {

using TileId = std::int32_t;
using TaskId = std::int32_t;

/// A piece of a value with storage of its own: a dense row-major buffer over `storage`, which holds `box` and the halo margin that
/// sliding readers need around it. box and storage are in coordinates of the whole value.
struct Tile {
  graph::ValueId value = graph::kNone;
  Box box, storage;
  DType dtype = DType::f32;
  int owner = 0;  ///< MPI rank that holds it
  enum class Role : std::uint8_t {
    input,
    parameter,
    state,
    constant,
    activation,
    gradient,
    partial_sum,
    copy,
    fetch
  } role = Role::activation;

  [[nodiscard]] std::int64_t bytes() const {
    return storage.elements() * static_cast<std::int64_t>(size_of(dtype));
  }
  /// Kept between steps: parameters, state, constants.
  [[nodiscard]] bool is_persistent() const {
    return role == Role::parameter || role == Role::state || role == Role::constant;
  }
};

struct Access {
  TileId tile = -1;
  enum class Mode : std::uint8_t { read, write, read_write } mode = Mode::read;
  Box view;  ///< the part of the tile's storage that the kernel sees
};

/// One unit of work: a kernel call or a movement. Movements are
///   Feed      the host's tensor of graph input `value` -> output tile (its storage region)
///   Fetch     input tile -> the host's tensor of that value
///   Copy      regions of tiles -> the same regions of another tile, pair by pair, same rank (halo margins, resharding)
///   Transfer  tile of one rank -> tile of the same storage on another rank (access[0] read on `rank`, access[1] written on `to_rank`)
///   Sum       tiles added in the order given (partial sums)
struct Task {
  std::string_view op;           ///< OpSpec::name, or one of the movements
  const Attrs* attrs = nullptr;  ///< owned by the graph or by TaskGraph::keep_alive
  std::vector<Access>
      access;  ///< inputs, then outputs; `inputs` of them are inputs. A tile appears once as an output (but a Copy's) and never also as an input, unless in place.
  int inputs = 0;
  bool accumulate = false;  ///< output 0 is read_write and added to
  Box region;               ///< of its node's iteration space: what it computes; empty: a movement
  graph::Cost cost;
  double slowness = 1;  ///< measured time over that of the cost: set_slowness()
  graph::NodeId node = graph::
      kNone;  ///< the node it comes from; movements: the node that reads (or wrote) the data; kNone for Feed and Fetch
  graph::ValueId value = graph::kNone;  ///< Feed, Fetch: the graph value
  graph::Phase phase = graph::Phase::forward;
  std::int16_t micro_batch = 0;
  std::int16_t rank = 0;      ///< rank that runs it (Transfer: that sends)
  std::int16_t to_rank = -1;  ///< Transfer only
  std::int16_t priority = 0;  ///< 0 .. kPriorityLevels - 1, higher first: set_priorities()
  std::int64_t workers = -1;  ///< bit mask; -1: wherever the scheduler likes
  /// Tile of `rank` whose writers so far must have ended, though nothing of it is read; -1: none. No access of this task.
  TileId after = -1;
};
inline constexpr int kPriorityLevels = 4096;

struct TaskGraph {
  std::shared_ptr<const graph::Graph> graph;
  int ranks = 1;
  std::vector<Tile> tiles;
  std::vector<Task> tasks;
  /// released_after[i]: tiles that no task after i touches in this step (never persistent ones).
  std::vector<std::vector<TileId>> released_after;
  /// Tiles of each value that hold its content for gather/scatter by the host: parameters, state, constants, in order of box; one owner each, covering it.
  std::vector<std::vector<TileId>> home_tiles;  // [ValueId]; empty if not persistent

  [[nodiscard]] const Tile& tile(TileId id) const { return tiles[static_cast<std::size_t>(id)]; }
  /// "enc0.conv1.grad_weight" or "Copy of enc0.conv1": for messages and traces.
  [[nodiscard]] std::string describe(const Task& task) const;
};

/// Checks the invariants: regions inside storage, written before read, released after last use, ranks agree, every region written once
/// before it is read. @throws InternalError naming the task.
void verify(const TaskGraph& graph);

/// Text form, one tile or task a line; golden tests compare it. Outputs: "=" first write of the step, "+" kept and changed; "-" released.
[[nodiscard]] std::string print(const TaskGraph& graph);

}  // namespace hpdlf::partition
