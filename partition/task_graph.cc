#include "partition/task_graph.hpp"

#include <fmt/format.h>

namespace hpdlf::partition {
namespace {

std::string_view name_of(Tile::Role role) {
  constexpr std::string_view kNames[] = {"input",    "parameter", "state", "constant", "activation",
                                         "gradient", "partial",   "copy",  "fetch"};
  return kNames[static_cast<std::size_t>(role)];
}

std::string_view name_of(Access::Mode mode) {
  constexpr std::string_view kNames[] = {"", "=", "+"};
  return kNames[static_cast<std::size_t>(mode)];
}

std::string print_access(const TaskGraph& graph, const Access& access) {
  const bool is_all = access.view == graph.tile(access.tile).storage;
  return fmt::format("{}%{}{}", name_of(access.mode), access.tile,
                     is_all ? "" : to_string(access.view));
}

}  // namespace

std::string TaskGraph::describe(const Task& task) const {
  const bool is_kernel_of_node =
      task.node != graph::kNone && task.op == graph->node(task.node).spec->name;
  if (is_kernel_of_node && task.phase != graph::Phase::move && task.phase != graph::Phase::reduce)
    return graph->node(task.node).name;
  const graph::ValueId value =
      task.value != graph::kNone ? task.value : tile(task.access.front().tile).value;
  return fmt::format("{} of {}", task.op, graph->value(value).name);
}

std::string print(const TaskGraph& graph) {
  std::string text;
  for (std::size_t i = 0; i < graph.tiles.size(); ++i) {
    const Tile& t = graph.tiles[i];
    text += fmt::format("%{} {} {} {}{}", i, name_of(t.role), graph.graph->value(t.value).name,
                        name_of(t.dtype), to_string(t.box));
    if (!(t.storage == t.box)) text += " in " + to_string(t.storage);
    text += graph.ranks > 1 ? fmt::format(" @{}\n", t.owner) : "\n";
  }
  for (std::size_t i = 0; i < graph.tasks.size(); ++i) {
    const Task& task = graph.tasks[i];
    text += fmt::format("{}: {} {}", i, graph::name_of(task.phase), graph.describe(task));
    if (task.op != graph.describe(task).substr(0, task.op.size()))
      text += fmt::format(" {}", task.op);
    if (graph.ranks > 1) text += fmt::format(" @{}", task.rank);
    if (task.to_rank >= 0) text += fmt::format("->{}", task.to_rank);
    std::string in;
    std::string out;
    for (std::size_t a = 0; a < task.access.size(); ++a)
      (a < static_cast<std::size_t>(task.inputs) ? in : out) +=
          " " + print_access(graph, task.access[a]);
    text += fmt::format(":{} ->{}{}", in, out, task.accumulate ? " accumulate" : "");
    if (task.after >= 0) text += fmt::format(" after %{}", task.after);
    for (const TileId t : graph.released_after[i]) text += fmt::format(" -%{}", t);
    text += "\n";
  }
  return text;
}

}  // namespace hpdlf::partition
