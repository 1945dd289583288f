// Replays the accesses of a task graph region by region. Slow (it follows every box), for tests and for `hpdlf plan`'s checks.
// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "partition/region_set.hpp"
#include "partition/task_graph.hpp"

namespace hpdlf::partition {
namespace {

using graph::kNone;
using graph::ValueId;

/// What a tile holds while the tasks are replayed.
struct Content {
  std::map<ValueId, RegionSet> of;  ///< regions that hold this value
  RegionSet unread;                 ///< written by a kernel and not read since
  bool released = false, touched = false;

  void set(ValueId value, const Box& box) {
    for (auto& [other, regions] : of) regions.remove(box);
    of[value].add(box);
  }
  [[nodiscard]] bool covers(const Box& box) const {
    for (const auto& [value, regions] : of)
      if (regions.covers(box)) return true;
    return false;
  }
};

class Verifier {
 public:
  explicit Verifier(const TaskGraph& graph) : graph_(graph), tiles_(graph.tiles.size()) {}

  void run() {
    check_homes();
    for (std::size_t i = 0; i < graph_.tiles.size(); ++i) {
      const Tile& tile = graph_.tiles[i];
      HPDLF_ASSERT(tile.storage.contains(tile.box) && !tile.box.is_empty(),
                   "tile {} of \"{}\": {} is not inside {}", i,
                   graph_.graph->value(tile.value).name, to_string(tile.box),
                   to_string(tile.storage));
      if (tile.is_persistent()) tiles_[i].set(tile.value, tile.box);
    }
    HPDLF_ASSERT(graph_.released_after.size() == graph_.tasks.size(),
                 "{} release lists for {} tasks", graph_.released_after.size(),
                 graph_.tasks.size());
    for (std::size_t t = 0; t < graph_.tasks.size(); ++t)
      check(graph_.tasks[t], graph_.released_after[t]);
    for (std::size_t i = 0; i < tiles_.size(); ++i)
      HPDLF_ASSERT(tiles_[i].released == (tiles_[i].touched && !graph_.tiles[i].is_persistent()),
                   "tile {} of \"{}\" is {}released", i,
                   graph_.graph->value(graph_.tiles[i].value).name,
                   tiles_[i].released ? "" : "never ");
  }

 private:
  Content& content(const Access& a) { return tiles_[static_cast<std::size_t>(a.tile)]; }

  void check(const Task& task, const std::vector<TileId>& released) {
    try {
      HPDLF_ASSERT(task.inputs >= 0 && static_cast<std::size_t>(task.inputs) <= task.access.size(),
                   "{} inputs of {} accesses", task.inputs, task.access.size());
      check_ranks(task);
      for (const Access& a : task.access) check_tile(a);
      if (task.after >= 0) check_awaited(task);
      for (int i = 0; i < task.inputs; ++i) check_read(task, i);
      for (auto i = static_cast<std::size_t>(task.inputs); i < task.access.size(); ++i)
        check_write(task, i);
      for (const TileId tile : released) {
        auto& c = tiles_[static_cast<std::size_t>(tile)];
        HPDLF_ASSERT(!c.released && !graph_.tile(tile).is_persistent(),
                     "tile {} is released twice or kept", tile);
        c.released = true;
      }
    } catch (InternalError& error) {
      error.add_context(fmt::format("verifying task {} \"{}\" ({})", &task - graph_.tasks.data(),
                                    graph_.describe(task), task.op));
      throw;
    }
  }

  void check_ranks(const Task& task) const {
    HPDLF_ASSERT((task.op == "Transfer") == (task.to_rank >= 0), "to_rank is {}", task.to_rank);
    for (std::size_t i = 0; i < task.access.size(); ++i) {
      const bool is_input = i < static_cast<std::size_t>(task.inputs);
      const int rank = task.to_rank >= 0 && !is_input ? task.to_rank : task.rank;
      const int owner = graph_.tile(task.access[i].tile).owner;
      HPDLF_ASSERT(owner == rank, "tile {} lies on rank {}, used on rank {}", task.access[i].tile,
                   owner, rank);
      HPDLF_ASSERT(is_input == (task.access[i].mode == Access::Mode::read),
                   "access {} has the wrong mode", i);
    }
    if (task.to_rank < 0) return;
    const Box& from = graph_.tile(task.access[0].tile).storage;
    HPDLF_ASSERT(task.rank != task.to_rank && from == graph_.tile(task.access[1].tile).storage &&
                     from == task.access[0].view,
                 "{} is sent to a tile of another region or rank", to_string(from));
  }

  void check_tile(const Access& a) {
    const Tile& tile = graph_.tile(a.tile);
    HPDLF_ASSERT(tile.storage.contains(a.view) && !a.view.is_empty(),
                 "{} is not inside tile {} with {}", to_string(a.view), a.tile,
                 to_string(tile.storage));
    HPDLF_ASSERT(!content(a).released, "tile {} is used after its release", a.tile);
    content(a).touched = true;
  }

  void check_awaited(const Task& task) {
    const auto& c = tiles_[static_cast<std::size_t>(task.after)];
    HPDLF_ASSERT(graph_.tile(task.after).owner == task.rank && c.touched && !c.released,
                 "tile {} is awaited, but it is on another rank, not written or released",
                 task.after);
  }

  static bool is_movement(const Task& task) {
    return task.phase == graph::Phase::move || task.phase == graph::Phase::load ||
           task.phase == graph::Phase::reduce;
  }

  void check_read(const Task& task, int i) {
    const Access& a = task.access[static_cast<std::size_t>(i)];
    Content& c = content(a);
    if (is_movement(task)) {
      HPDLF_ASSERT(c.covers(a.view), "{} of tile {} is read but holds no single value",
                   to_string(a.view), a.tile);
    } else {
      const ValueId value = graph_.graph->node(task.node).inputs[static_cast<std::size_t>(i)];
      HPDLF_ASSERT(c.of[value].covers(a.view),
                   "{} of tile {} is read as \"{}\" but does not hold it", to_string(a.view),
                   a.tile, graph_.graph->value(value).name);
    }
    c.unread.remove(a.view);
  }

  /// What a movement leaves in its output `i`: the value that its input (a Copy's of that pair) holds there.
  ValueId moved_value(const Task& task, std::size_t i) {
    if (task.op == "Feed") return task.value;
    const Access& out = task.access[i];
    const std::size_t from = task.op == "Copy" ? i - static_cast<std::size_t>(task.inputs) : 0;
    for (const auto& [value, regions] : content(task.access[from]).of)
      if (regions.covers(out.view)) return value;
    return kNone;
  }

  void check_write(const Task& task, std::size_t i) {
    const Access& a = task.access[i];
    Content& c = content(a);
    HPDLF_ASSERT(a.mode != Access::Mode::write || c.of.empty(),
                 "tile {} holds data that mode `write` would lose", a.tile);
    if (is_movement(task)) return c.set(moved_value(task, i), a.view);
    const auto& node = graph_.graph->node(task.node);
    const auto output = i - static_cast<std::size_t>(task.inputs);
    const ValueId value = node.outputs[output];
    if (task.accumulate && output == 0) {
      const bool has_base = c.of[value].covers(a.view) ||
                            (node.accumulate != kNone && c.of[node.accumulate].covers(a.view));
      HPDLF_ASSERT(has_base && a.mode == Access::Mode::read_write,
                   "{} of tile {} is added to but holds nothing", to_string(a.view), a.tile);
    } else {
      HPDLF_ASSERT(!c.unread.meets(a.view), "{} of tile {} is overwritten before it was read",
                   to_string(a.view), a.tile);
    }
    c.set(value, a.view);
    c.unread.add(a.view);
  }

  void check_homes() const {
    const auto& values = graph_.graph->values();
    HPDLF_ASSERT(graph_.home_tiles.size() == values.size(), "{} home lists for {} values",
                 graph_.home_tiles.size(), values.size());
    for (std::size_t v = 0; v < values.size(); ++v) {
      const bool kept = values[v].role == graph::Role::parameter ||
                        values[v].role == graph::Role::state ||
                        values[v].role == graph::Role::constant;
      RegionSet homes;
      for (const TileId id : graph_.home_tiles[v]) {
        HPDLF_ASSERT(graph_.tile(id).is_persistent() && !homes.meets(graph_.tile(id).box),
                     "home tile {} of \"{}\" overlaps another", id, values[v].name);
        homes.add(graph_.tile(id).box);
      }
      HPDLF_ASSERT(graph_.home_tiles[v].empty() != kept &&
                       (!kept || homes.covers(Box::whole(values[v].type.extents))),
                   "the home tiles of \"{}\" do not cover it", values[v].name);
    }
  }

  const TaskGraph& graph_;
  std::vector<Content> tiles_;
};

}  // namespace

void verify(const TaskGraph& graph) { Verifier(graph).run(); }

}  // namespace hpdlf::partition
