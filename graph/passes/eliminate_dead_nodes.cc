#include <algorithm>

#include "graph/passes/pass.hpp"

namespace hpdlf::graph {

void eliminate_dead_nodes(Graph& graph) {
  std::vector<bool> is_live(graph.values().size(), false);
  const auto keep = [&](ValueId id) { is_live[static_cast<std::size_t>(id)] = true; };
  for (const auto& [state, content] : graph.updates()) keep(content);
  for (const auto& [name, value] : graph.fetches()) keep(value);

  std::vector<Node> live;
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    const auto is_read = [&](ValueId output) { return is_live[static_cast<std::size_t>(output)]; };
    if (std::none_of(node->outputs.begin(), node->outputs.end(), is_read)) continue;
    for (const auto input : node->inputs) keep(input);
    if (node->accumulate != kNone) keep(node->accumulate);
    live.push_back(*node);
  }
  std::reverse(live.begin(), live.end());
  graph.replace_nodes(std::move(live));
}

}  // namespace hpdlf::graph
