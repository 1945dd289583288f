#include <fmt/format.h>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

std::string print_initializer(const Initializer& init) {
  switch (init.kind) {
    case Initializer::Kind::constant:
      return fmt::format(" = {:.6g}", init.a);
    case Initializer::Kind::uniform:
      return fmt::format(" = uniform({:.6g}, {:.6g})", init.a, init.b);
    case Initializer::Kind::normal:
      return fmt::format(" = normal({:.6g}, {:.6g})", init.a, init.b);
    case Initializer::Kind::none:
      break;
  }
  return "";
}

std::string print_leaf(const Value& value) {
  constexpr std::string_view kRoles[] = {"input", "constant", "parameter", "state"};
  return fmt::format("  {} {} {}{}\n", kRoles[static_cast<std::size_t>(value.role)], value.name,
                     to_string(value.type), print_initializer(value.init));
}

/// Attributes that differ from their defaults.
std::string print_attrs(const Node& node) {
  Attrs shown;
  for (const auto& attr : node.spec->attrs) {
    const auto at = node.attrs.values().find(attr.name);
    if (at != node.attrs.values().end() && (attr.required || at->second != attr.default_value))
      shown.set(attr.name, at->second);
  }
  const std::string text = to_string(shown);
  return text.empty() ? "" : " " + text;
}

std::string print_node(const Graph& graph, const Node& node) {
  std::string outputs;
  for (const auto id : node.outputs) {
    const Value& value = graph.value(id);
    outputs += (outputs.empty() ? "" : ", ") + (value.name == node.name ? "" : value.name + " ") +
               to_string(value.type);
  }
  std::string inputs;
  for (const auto id : node.inputs) inputs += (inputs.empty() ? "" : ", ") + graph.value(id).name;
  const std::string base =
      node.accumulate == kNone ? "" : graph.value(node.accumulate).name + " + ";
  const std::string phase =
      node.phase == Phase::forward ? "" : fmt::format("  @{}", name_of(node.phase));
  return fmt::format("  {} = {}{}({}){} -> {}{}\n", node.name, base, node.spec->name, inputs,
                     print_attrs(node), outputs, phase);
}

}  // namespace

std::string print(const Graph& graph) {
  std::string text = fmt::format("graph {}\n", graph.name());
  for (const auto& value : graph.values())
    if (value.role != Role::computed) text += print_leaf(value);
  for (const auto& node : graph.nodes()) text += print_node(graph, node);
  for (const auto& [state, content] : graph.updates())
    text += fmt::format("  update {} <- {}\n", graph.value(state).name, graph.value(content).name);
  for (const auto& [name, id] : graph.fetches())
    text += fmt::format("  fetch {} = {}\n", name, graph.value(id).name);
  return text;
}

}  // namespace hpdlf::graph
