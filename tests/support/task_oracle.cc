#include "support/task_oracle.hpp"

#include <cstring>

#include "graph/initialize.hpp"
#include "support/kernel_call.hpp"

namespace hpdlf::test {
namespace {

using partition::Access;
using partition::Task;
using partition::Tile;

void poison(const Tile& tile, std::vector<std::byte>& data) {
  const std::byte junk{static_cast<unsigned char>(
      is_float(tile.dtype) ? 0xFF : 0x7F)};  // all ones: NaN in every float
  data.assign(static_cast<std::size_t>(tile.bytes()), junk);
}

TensorView dense_view(const Tensor& tensor) {
  return TensorView::dense(const_cast<std::byte*>(tensor.data.data()), tensor.type.dtype,
                           tensor.type.extents);
}

void copy(const TensorView& from, const TensorView& to) {
  static const Attrs kNone;
  run_kernel("Copy", {.inputs = {&from, 1}, .outputs = {&to, 1}, .attrs = &kNone});
}

TensorView view_of_storage(const Tile& tile, const graph::Value& value,
                           std::vector<std::byte>& data) {
  TensorView view = TensorView::dense(data.data(), tile.dtype, tile.storage.extents());
  view.origin = tile.storage.lo;
  view.whole = value.type.extents;
  return view;
}

}  // namespace

TaskOracle::TaskOracle(const partition::TaskGraph& graph, std::uint64_t seed)
    : graph_(graph),
      seed_(seed),
      tiles_(graph.tiles.size()),
      host_(static_cast<std::size_t>(graph.ranks)) {
  for (std::size_t i = 0; i < tiles_.size(); ++i) {
    const Tile& tile = graph.tiles[i];
    poison(tile, tiles_[i]);
    if (!tile.is_persistent()) continue;
    const auto& value = graph.graph->value(tile.value);
    if (value.role != graph::Role::constant) {
      graph::fill_initial(value, seed, tile.box, tiles_[i].data());
      continue;
    }
    Tensor content(value.type);
    content.data = value.content;
    const TensorView to = view_of_storage(tile, value, tiles_[i]);
    copy(dense_view(content).slice(tile.box), to);
  }
}

void TaskOracle::step(const std::map<graph::ValueId, Tensor>& inputs) {
  for (std::size_t t = 0; t < graph_.tasks.size(); ++t) {
    const Task& task = graph_.tasks[t];
    try {
      run(task, inputs);
    } catch (Error& error) {
      error.add_context(
          fmt::format("running task {} \"{}\" ({})", t, graph_.describe(task), task.op));
      throw;
    }
    for (const partition::TileId id : graph_.released_after[t])
      poison(graph_.tile(id), tiles_[static_cast<std::size_t>(id)]);
  }
  ++step_;
}

TensorView TaskOracle::view_of(const Access& access) {
  const Tile& tile = graph_.tile(access.tile);
  return view_of_storage(tile, graph_.graph->value(tile.value),
                         tiles_[static_cast<std::size_t>(access.tile)])
      .slice(access.view);
}

void TaskOracle::run(const Task& task, const std::map<graph::ValueId, Tensor>& inputs) {
  if (task.op == "Feed") {
    copy(dense_view(inputs.at(task.value)).slice(task.access[0].view), view_of(task.access[0]));
  } else if (task.op == "Fetch") {
    auto& host = host_[static_cast<std::size_t>(task.rank)];
    const auto [entry, is_new] = host.try_emplace(task.value, graph_.graph->value(task.value).type);
    copy(view_of(task.access[0]), dense_view(entry->second).slice(task.access[0].view));
  } else if (task.op == "Transfer") {
    tiles_[static_cast<std::size_t>(task.access[1].tile)] =
        tiles_[static_cast<std::size_t>(task.access[0].tile)];
  } else {
    run_kernel_of(task);
  }
}

void TaskOracle::run_kernel_of(const Task& task) {
  std::vector<TensorView> inputs, outputs;
  for (std::size_t i = 0; i < task.access.size(); ++i)
    (i < static_cast<std::size_t>(task.inputs) ? inputs : outputs)
        .push_back(view_of(task.access[i]));
  run_kernel(task.op, {.inputs = inputs,
                       .outputs = outputs,
                       .attrs = task.attrs,
                       .accumulate = task.accumulate,
                       .workspace = {},
                       .seed = seed_,
                       .step = step_});
}

Tensor TaskOracle::read(graph::ValueId value) const {
  Tensor tensor(graph_.graph->value(value).type);
  for (const partition::TileId id : graph_.home_tiles[static_cast<std::size_t>(value)]) {
    auto data = tiles_[static_cast<std::size_t>(id)];
    const Tile& tile = graph_.tile(id);
    copy(view_of_storage(tile, graph_.graph->value(value), data).slice(tile.box),
         dense_view(tensor).slice(tile.box));
  }
  return tensor;
}

const Tensor& TaskOracle::fetched(std::string_view name, int rank) const {
  for (const auto& [known, id] : graph_.graph->fetches())
    if (known == name) return host_[static_cast<std::size_t>(rank)].at(id);
  throw Error(fmt::format("nothing is fetched as `{}`", name));
}

}  // namespace hpdlf::test
