#include <algorithm>
#include <map>

#include "graph/op_spec.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::graph {
namespace {

bool can_normalize(const Node& node) {
  return node.spec->name == "WinogradConv" || node.spec->name == "WinogradConvGradWeight";
}

class Fusion {
 public:
  explicit Fusion(Graph& graph) : graph_(graph) {}

  void run() {
    const std::vector<Node> originals = graph_.nodes();
    for (const Node& node : originals) {
      if (node.spec->name == "Normalize" && is_only_read_by_convolutions(node))
        replace(node);
      else
        nodes_.push_back(node);
    }
    for (Node& node : nodes_) {
      const auto found = fused_.find(can_normalize(node) ? node.inputs[0] : kNone);
      if (found != fused_.end()) normalize_input(node, found->second);
    }
    graph_.replace_nodes(std::move(nodes_));
  }

 private:
  struct Fused {
    ValueId x, coefficients;
    Attrs attrs;  // of the Normalize
  };

  bool is_only_read_by_convolutions(const Node& normalize) const {
    const ValueId y = normalize.outputs[0];
    const auto reads_elsewhere = [&](const Node& node) {
      const auto count = std::count(node.inputs.begin(), node.inputs.end(), y);
      return node.accumulate == y || count > 1 ||
             (count == 1 && !(can_normalize(node) && node.inputs[0] == y));
    };
    const auto is_y = [&](const auto& binding) { return binding.second == y; };
    return std::none_of(graph_.nodes().begin(), graph_.nodes().end(), reads_elsewhere) &&
           std::none_of(graph_.fetches().begin(), graph_.fetches().end(), is_y) &&
           std::none_of(graph_.updates().begin(), graph_.updates().end(), is_y);
  }

  /// Puts the coefficients where the Normalize was.
  void replace(const Node& normalize) {
    const ValueId x = normalize.inputs[0], sums = normalize.inputs[1];
    const Extents& extents = graph_.value(x).type.extents;
    const std::int64_t count =
        extents.elements() / extents.back() / graph_.value(sums).type.extents[0];
    const NodeId id =
        graph_.add_node("NormalizeCoefficients", {sums, normalize.inputs[2], normalize.inputs[3]},
                        {{"epsilon", normalize.attrs.real("epsilon")}, {"count", count}},
                        normalize.name + ".coefficients");
    graph_.node(id).layer = normalize.layer;
    graph_.node(id).phase = normalize.phase;
    nodes_.push_back(graph_.node(id));
    fused_[normalize.outputs[0]] = {x, graph_.output(id), normalize.attrs};
  }

  static void normalize_input(Node& node, const Fused& fused) {
    node.spec = &op_registry().at("Normalized" + node.spec->name);
    node.inputs[0] = fused.x;
    node.inputs.insert(node.inputs.begin() + 1, fused.coefficients);
    node.attrs.set("activation", fused.attrs.string("activation"));
    node.attrs.set("alpha", fused.attrs.real("alpha"));
  }

  Graph& graph_;
  std::vector<Node> nodes_;
  std::map<ValueId, Fused> fused_;
};

}  // namespace

void fuse_normalize(Graph& graph) { Fusion(graph).run(); }

}  // namespace hpdlf::graph
