#include <algorithm>
#include <map>
#include <set>

#include "graph/op_spec.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::graph {
namespace {

constexpr std::string_view kSuffix = ".recomputed";

std::size_t index(std::int32_t id) { return static_cast<std::size_t>(id); }

std::string name_of_copy(const std::string& original) {
  return original.substr(0, original.find(kSuffix)) + std::string(kSuffix);
}

/// [value] The last node that reads it; one past all nodes for what the step leaves behind.
std::vector<NodeId> last_uses(const Graph& graph) {
  std::vector<NodeId> last(graph.values().size(), kNone);
  const auto end = static_cast<NodeId>(graph.nodes().size());
  for (NodeId n = 0; n < end; ++n) {
    const Node& node = graph.node(n);
    for (const ValueId input : node.inputs) last[index(input)] = n;
    if (node.accumulate != kNone) last[index(node.accumulate)] = n;
  }
  for (const auto& [state, content] : graph.updates()) last[index(content)] = end;
  for (const auto& [name, value] : graph.fetches()) last[index(value)] = end;
  return last;
}

void collect(const Graph& graph, const std::vector<NodeId>& last_use, const RecomputeSite& site,
             std::set<NodeId>& chosen) {
  chosen.insert(site.producer);
  const Node& node = graph.node(site.producer);
  const auto add = [&](ValueId value, int depth) {
    if (const NodeId producer = graph.value(value).producer; producer != kNone)
      collect(graph, last_use, {producer, site.reader, depth}, chosen);
  };
  if (node.accumulate != kNone) add(node.accumulate, site.depth);  // it has become the sum
  if (site.depth == 0) return;
  for (const ValueId input : node.inputs)
    if (last_use[index(input)] < site.reader) add(input, site.depth - 1);
}

/// Copies nodes of a graph; what is read by way of it is the copies' results where there are any.
class Copying {
 public:
  explicit Copying(Graph& graph) : graph_(graph) {}

  /// Appends the copy; it takes its place later.
  NodeCopy add(NodeId id) {
    Node node = graph_.node(id);
    read_copies(node);
    const NodeId added =
        graph_.add_node(node.spec->name, node.inputs, node.attrs, name_of_copy(node.name));
    Node& copy = graph_.node(added);
    copy.accumulate = node.accumulate;
    copy.layer = node.layer;
    copy.phase = Phase::backward;
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      copies_[node.outputs[i]] = copy.outputs[i];
    return {node.outputs[0], copy.outputs[0]};
  }

  void read_copies(Node& node) const {
    const auto replace = [&](ValueId& value) {
      if (const auto copy = copies_.find(value); copy != copies_.end()) value = copy->second;
    };
    for (ValueId& input : node.inputs) replace(input);
    replace(node.accumulate);
  }

 private:
  Graph& graph_;
  std::map<ValueId, ValueId> copies_;
};

}  // namespace

std::vector<NodeId> nodes_to_recompute(const Graph& graph, const RecomputeSite& site) {
  std::set<NodeId> chosen;
  collect(graph, last_uses(graph), site, chosen);
  return {chosen.begin(), chosen.end()};
}

std::vector<NodeCopy> recompute(Graph& graph, const RecomputeSite& site) {
  const auto count = static_cast<std::ptrdiff_t>(graph.nodes().size());
  HPDLF_ASSERT(site.producer >= 0 && site.producer < site.reader && site.reader < count,
               "node {} cannot be computed again before node {} of {}", site.producer, site.reader,
               count);
  Copying copying(graph);
  std::vector<NodeCopy> copies;
  for (const NodeId id : nodes_to_recompute(graph, site)) copies.push_back(copying.add(id));

  std::vector<Node> nodes = graph.nodes();
  for (auto n = nodes.begin() + site.reader; n != nodes.begin() + count; ++n)
    copying.read_copies(*n);
  std::rotate(nodes.begin() + site.reader, nodes.begin() + count, nodes.end());
  graph.replace_nodes(std::move(nodes));
  return copies;
}

}  // namespace hpdlf::graph
