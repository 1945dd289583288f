#include "partition/movement.hpp"

#include <algorithm>
#include <utility>

namespace hpdlf::partition {
namespace {

using graph::ValueId;

const Attrs kNoAttrs;

}  // namespace

TaskWriter::TaskWriter(TaskGraph& graph, std::vector<ValueLayout>& layouts)
    : graph_(graph), layouts_(layouts), strips_(layouts.size()) {
  for (const Tile& tile : graph.tiles) written_.push_back(tile.is_persistent());
}

TileId TaskWriter::add_tile(const Tile& tile) {
  graph_.tiles.push_back(tile);
  written_.push_back(false);
  return static_cast<TileId>(graph_.tiles.size()) - 1;
}

TileId TaskWriter::add_copy(TileId like, const Box& box, int owner) {
  const Tile& tile = graph_.tile(like);
  return add_tile({.value = tile.value,
                   .box = box,
                   .storage = box,
                   .dtype = tile.dtype,
                   .owner = owner,
                   .role = Tile::Role::copy});
}

Access TaskWriter::write(TileId tile, const Box& view) {
  const bool alive = written_[static_cast<std::size_t>(tile)];
  written_[static_cast<std::size_t>(tile)] = true;
  return {tile, alive ? Access::Mode::read_write : Access::Mode::write, view};
}

void TaskWriter::push(Task task) { graph_.tasks.push_back(std::move(task)); }

/// A task that moves so many elements of `tile`'s value, still without accesses.
Task TaskWriter::movement(std::string_view op, std::int64_t elements, TileId tile) const {
  const Tile& t = graph_.tile(tile);
  const auto bytes = static_cast<double>(elements) * static_cast<double>(size_of(t.dtype));
  Task task;
  task.op = op;
  task.attrs = &kNoAttrs;
  task.cost = {.flops = 0, .bytes_read = bytes, .bytes_written = bytes};
  task.node = node_;
  task.phase = graph::Phase::move;
  task.rank = static_cast<std::int16_t>(t.owner);
  return task;
}

void TaskWriter::copy(std::span<const Part> parts, TileId dst) {
  if (parts.empty()) return;
  std::int64_t elements = 0;
  for (const Part& part : parts) elements += part.box.elements();
  Task task = movement("Copy", elements, dst);
  task.inputs = static_cast<int>(parts.size());
  for (const Part& part : parts) task.access.push_back({part.tile, Access::Mode::read, part.box});
  for (const Part& part : parts) task.access.push_back(write(dst, part.box));
  push(std::move(task));
}

void TaskWriter::transfer(TileId src, TileId dst) {
  const Box& box = graph_.tile(src).storage;
  Task task = movement("Transfer", box.elements(), src);
  task.inputs = 1;
  task.to_rank = static_cast<std::int16_t>(graph_.tile(dst).owner);
  task.access = {{src, Access::Mode::read, box}, write(dst, box)};
  push(std::move(task));
}

void TaskWriter::feed(ValueId value, TileId dst) {
  const Box box = graph_.tile(dst).storage;
  Task task = movement("Feed", box.elements(), dst);
  task.node = graph::kNone;
  task.value = value;
  task.phase = graph::Phase::load;
  task.access = {write(dst, box)};
  push(std::move(task));
}

void TaskWriter::fetch(ValueId value, const Access& from) {
  Task task = movement("Fetch", from.view.elements(), from.tile);
  task.node = graph::kNone;
  task.value = value;
  task.inputs = 1;
  task.access = {from};
  push(std::move(task));
}

void TaskWriter::sum(std::span<const TileId> tiles, const Box& box) {
  if (tiles.size() < 2) return;
  Task task = movement("Sum", box.elements(), tiles.front());
  task.phase = graph::Phase::reduce;
  const auto others = static_cast<double>(tiles.size() - 1);
  task.cost.flops = others * static_cast<double>(box.elements());
  task.cost.bytes_read *= others + 1;
  task.inputs = static_cast<int>(tiles.size());
  for (const TileId tile : tiles) task.access.push_back({tile, Access::Mode::read, box});
  task.access.push_back(write(tiles.front(), box));
  push(std::move(task));
}

TileId TaskWriter::send(TileId src, int to) {
  const TileId landing = add_copy(src, graph_.tile(src).storage, to);
  transfer(src, landing);
  return landing;
}

const TaskWriter::Strip* TaskWriter::find_strip(ValueId value, TileId src, const Box& box,
                                                int rank) const {
  for (const Strip& s : strips_[static_cast<std::size_t>(value)])
    if (s.source == src && s.rank == rank && s.box == box) return &s;
  return nullptr;
}

/// Makes it if there is none: packed on the source's rank, sent to another.
TileId TaskWriter::strip(ValueId value, TileId src, const Box& box, int rank) {
  const int home = graph_.tile(src).owner;
  if (rank == home && graph_.tile(src).storage == box) return src;
  if (const Strip* known = find_strip(value, src, box, rank)) return known->tile;
  const TileId from = rank == home ? src : strip(value, src, box, home);
  const TileId tile = add_copy(src, box, rank);
  if (rank == home)
    copy({{{from, box}}}, tile);
  else
    transfer(from, tile);
  strips_[static_cast<std::size_t>(value)].push_back({src, box, rank, tile});
  return tile;
}

TileId TaskWriter::bring(ValueId value, const Piece& from, const Box& box, TileId dst) {
  const int rank = graph_.tile(dst).owner;
  if (from.rank == rank) return from.tile;
  const bool is_all = graph_.tile(dst).storage == box;
  if (!is_all || find_strip(value, from.tile, box, rank) != nullptr)
    return strip(value, from.tile, box, rank);
  transfer(strip(value, from.tile, box, from.rank), dst);
  // A replica keeps this content and serves others; other tiles are added to or overwritten.
  if (graph_.tile(dst).role == Tile::Role::copy)
    strips_[static_cast<std::size_t>(value)].push_back({from.tile, box, rank, dst});
  return -1;
}

void TaskWriter::gather(ValueId value, const Box& box, TileId dst) {
  const auto& layout = layouts_[static_cast<std::size_t>(value)];
  if (layout.pieces.empty()) {  // a graph input: there is a fed tile on each rank that wants it
    const Access from = read(value, graph_.tile(dst).owner, box);
    return copy({{{from.tile, box}}}, dst);
  }
  gather_pieces(value, box, dst);
}

void TaskWriter::gather_pieces(ValueId value, const Box& box, TileId dst) {
  std::vector<Part> parts;
  for (const Piece& piece : layouts_[static_cast<std::size_t>(value)].pieces) {
    const Box part = intersect(piece.box, box);
    if (piece.tile == dst || part.is_empty()) continue;
    if (const TileId from = bring(value, piece, part, dst); from >= 0)
      parts.push_back({from, part});
  }
  copy(parts, dst);
}

void TaskWriter::fill_margin(ValueId value, Piece& piece) {
  if (!std::exchange(piece.margin_filled, true)) gather_pieces(value, piece.reach, piece.tile);
}

Access TaskWriter::read(ValueId value, int rank, const Box& box) {
  auto& layout = layouts_[static_cast<std::size_t>(value)];
  if (Piece* piece = layout.find_piece(rank, box)) {
    if (!piece->box.contains(box)) fill_margin(value, *piece);
    return {piece->tile, Access::Mode::read, box};
  }
  Replica* replica = layout.find_replica(rank, box);
  HPDLF_ASSERT(replica != nullptr, "no tile on rank {} for {} of value {}", rank, to_string(box),
               value);
  if (!std::exchange(replica->filled, true) && !layout.pieces.empty())
    gather(value, replica->box, replica->tile);
  return {replica->tile, Access::Mode::read, box};
}

}  // namespace hpdlf::partition
