#include <algorithm>

#include "graph/op_spec.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::graph {
namespace {

bool concatenates_channels(const Graph& graph, const Node& node) {
  if (node.spec->name != "Concat" || node.inputs.size() < 2) return false;
  const int rank = graph.value(node.outputs[0]).type.extents.rank();
  const std::int64_t axis = node.attrs.integer("axis");
  return axis == -1 || axis == rank - 1;
}

/// The Concat whose channels `conv` can be cut by, or nullptr.
const Node* concat_before(const Graph& graph, const Node& conv) {
  if (conv.spec->name != "Conv" || conv.attrs.integer("group") != 1 || conv.accumulate != kNone)
    return nullptr;
  const NodeId producer = graph.value(conv.inputs[0]).producer;
  if (producer == kNone || !concatenates_channels(graph, graph.node(producer))) return nullptr;
  return &graph.node(producer);
}

/// Adds a node that inherits layer and phase from `origin`; it is appended and takes its place later.
NodeId add_like(Graph& graph, const Node& origin, std::string_view op, std::vector<ValueId> inputs,
                const Attrs& attrs, const std::string& suffix) {
  const NodeId id = graph.add_node(op, std::move(inputs), attrs, origin.name + suffix);
  graph.node(id).layer = origin.layer;
  graph.node(id).phase = origin.phase;
  return id;
}

/// The nodes that replace `conv`, in order.
std::vector<Node> split_conv(Graph& graph, const Node& conv, const std::vector<ValueId>& parts) {
  std::vector<std::int64_t> channels;
  channels.reserve(parts.size());
  for (const auto part : parts) channels.push_back(graph.value(part).type.extents.back());
  const NodeId split = add_like(graph, conv, "Split", {conv.inputs[1]},
                                {{"axis", std::int64_t{-1}}, {"split", channels}}, ".split_weight");
  std::vector<Node> nodes = {graph.node(split)};
  ValueId sum = kNone;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::vector<ValueId> inputs = {parts[i], graph.output(split, static_cast<int>(i))};
    if (i == 0) inputs.insert(inputs.end(), conv.inputs.begin() + 2, conv.inputs.end());
    Node node = conv;
    if (i + 1 < parts.size()) {
      node =
          graph.node(add_like(graph, conv, "Conv", inputs, conv.attrs, fmt::format(".part{}", i)));
    } else {
      node.inputs = inputs;
    }
    node.accumulate = sum;
    sum = node.outputs[0];
    nodes.push_back(std::move(node));
  }
  return nodes;
}

bool is_used(const Graph& graph, ValueId value) {
  const auto reads = [&](const Node& node) {
    return node.accumulate == value ||
           std::find(node.inputs.begin(), node.inputs.end(), value) != node.inputs.end();
  };
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), reads) ||
         std::any_of(graph.updates().begin(), graph.updates().end(),
                     [&](const auto& u) { return u.second == value; }) ||
         std::any_of(graph.fetches().begin(), graph.fetches().end(),
                     [&](const auto& f) { return f.second == value; });
}

}  // namespace

void split_concat_conv(Graph& graph) {
  const std::vector<Node> originals = graph.nodes();
  std::vector<Node> nodes;
  std::vector<ValueId> concats;
  for (const auto& node : originals) {
    const Node* concat = concat_before(graph, node);
    if (concat == nullptr) {
      nodes.push_back(node);
      continue;
    }
    concats.push_back(concat->outputs[0]);
    const std::vector<ValueId> parts =
        concat->inputs;  // a copy: adding nodes moves the graph's own
    for (auto& part : split_conv(graph, node, parts)) nodes.push_back(std::move(part));
  }
  graph.replace_nodes(nodes);
  const auto is_left_over = [&](const Node& node) {
    return std::find(concats.begin(), concats.end(), node.outputs[0]) != concats.end() &&
           !is_used(graph, node.outputs[0]);
  };
  nodes.erase(std::remove_if(nodes.begin(), nodes.end(), is_left_over), nodes.end());
  graph.replace_nodes(std::move(nodes));
}

}  // namespace hpdlf::graph
