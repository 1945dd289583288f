#include "graph/op_spec.hpp"
#include "graph/ops/winograd.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::graph {
namespace {

/// What was cast to give `value`; `value` itself if no Cast did.
ValueId before_cast(const Graph& graph, ValueId value) {
  const NodeId producer = graph.value(value).producer;
  const bool is_cast = producer != kNone && graph.node(producer).spec->name == "Cast";
  return is_cast ? graph.node(producer).inputs[0] : value;
}

bool is_f32(const Graph& graph, ValueId value) {
  return graph.value(value).type.dtype == DType::f32;
}

/// The pads with which the gradient by x is a convolution of dy; empty if a pad is wider than the kernel reaches.
std::vector<std::int64_t> complementary_pads(const Attrs& attrs) {
  const auto& kernel = attrs.integers("kernel_shape");
  std::vector<std::int64_t> pads = attrs.integers("pads");
  pads.resize(2 * kernel.size(), 0);
  for (std::size_t i = 0; i < pads.size(); ++i) {
    pads[i] = kernel[i % kernel.size()] - 1 - pads[i];
    if (pads[i] < 0) return {};
  }
  return pads;
}

class Rewriter {
 public:
  Rewriter(Graph& graph, const Effort& effort) : graph_(graph), effort_(effort) {}

  void run() {
    const std::vector<Node> originals = graph_.nodes();
    for (const Node& node : originals) {
      if (!(node.spec->name == "ConvGradWeight" && use_for_weight_gradient(node)) &&
          !(node.spec->name == "Conv" && use_for(node, false)) &&
          !(node.spec->name == "ConvGradInput" &&
            (use_for(node, true) || use_for_strided_gradient(node))))
        nodes_.push_back(node);
    }
    graph_.replace_nodes(std::move(nodes_));
  }

 private:
  /// A call that is not (yet) in the graph.
  [[nodiscard]] static OpCall call_of(std::string_view op, const Attrs& attrs,
                                      std::vector<TensorType> inputs) {
    OpCall call{&op_registry().at(op), &attrs, std::move(inputs), {}};
    call.spec->infer(call);
    return call;
  }

  /// What "tile_depth" may be: D direct, or transformed where the kernel has three taps there. Forward in f32 not four outputs: their greater
  /// rounding error would move values across the kinks of activations, and their gradients with them; backward an error stays what it is.
  [[nodiscard]] std::vector<std::int64_t> tile_depths(const Node& node) const {
    const auto& kernel = node.attrs.integers("kernel_shape");
    const bool has_three_taps = kernel.size() == 3 && kernel[0] == 3;
    const bool is_exact = node.phase == Phase::forward && is_f32(graph_, node.inputs[0]);
    if (!has_three_taps) return {1};
    return is_exact ? std::vector<std::int64_t>{1, 2} : std::vector<std::int64_t>{1, 2, 4};
  }

  bool use_for_weight_gradient(const Node& node) {
    const OpCall direct = graph::call_of(graph_, node);
    if (winograd_stride(node.attrs) != 1 || direct.input(0).dtype != direct.input(1).dtype)
      return false;
    const OpSpec& op = op_registry().at("WinogradConvGradWeight");
    double best = effort_(direct);
    Node replacement;
    for (const auto depth : tile_depths(node)) {
      Attrs attrs = node.attrs;
      attrs.set("tile_depth", depth);
      const double found = effort_(call_of(op.name, attrs, direct.inputs));
      if (found >= best) continue;
      best = found;
      replacement = node;
      replacement.spec = &op;
      replacement.attrs = attrs;
    }
    if (replacement.spec == nullptr) return false;
    nodes_.push_back(std::move(replacement));
    return true;
  }

  bool use_for(const Node& node, bool transposed) {
    const ValueId w = before_cast(graph_, node.inputs[1]);
    const bool has_other_bias = node.inputs.size() > 2 && !is_f32(graph_, node.inputs[2]);
    if (winograd_stride(node.attrs) != 1 || !is_f32(graph_, w) || has_other_bias) return false;
    Attrs attrs = node.attrs;
    attrs.erase("input_shape");
    attrs.set("channels", graph_.value(node.outputs[0]).type.extents.back());
    if (transposed) attrs.set("pads", complementary_pads(node.attrs));
    if (transposed && attrs.integers("pads").empty()) return false;

    const OpCall direct = graph::call_of(graph_, node);
    double best = effort_(direct);
    std::int64_t best_depth = 0;
    for (const auto depth : tile_depths(node)) {
      attrs.set("tile_depth", depth);
      const Attrs transform = transform_attrs(transposed, depth);
      const OpCall weights = call_of("WinogradWeights", transform, {graph_.value(w).type});
      std::vector<TensorType> inputs = direct.inputs;
      inputs[1] = weights.output(0);
      const double found =
          effort_(call_of("WinogradConv", attrs, std::move(inputs))) + effort_(weights);
      if (found >= best) continue;
      best = found;
      best_depth = depth;
    }
    if (best_depth == 0) return false;
    attrs.set("tile_depth", best_depth);
    replace(node, w, "WinogradConv", attrs, transform_attrs(transposed, best_depth));
    return true;
  }

  /// The gradient by x of a convolution whose stride is 2.
  bool use_for_strided_gradient(const Node& node) {
    const ValueId w = before_cast(graph_, node.inputs[1]);
    if (winograd_stride(node.attrs) != 2 || !is_f32(graph_, w)) return false;
    const OpCall direct = graph::call_of(graph_, node);
    const Attrs transform = transform_attrs(true, 1, 2);
    const OpCall weights = call_of("WinogradWeights", transform, {graph_.value(w).type});
    const OpCall replacement =
        call_of("WinogradConvGradInput", node.attrs, {direct.input(0), weights.output(0)});
    if (effort_(replacement) + effort_(weights) >= effort_(direct)) return false;
    replace(node, w, "WinogradConvGradInput", node.attrs, transform);
    return true;
  }

  [[nodiscard]] static Attrs transform_attrs(bool transposed, std::int64_t depth,
                                             std::int64_t stride = 1) {
    return complete_attrs(
        op_registry().at("WinogradWeights"),
        {{"transposed", std::int64_t{transposed}}, {"tile_depth", depth}, {"stride", stride}});
  }

  /// Weights are transformed where the convolution was.
  void replace(const Node& node, ValueId w, std::string_view op, const Attrs& attrs,
               const Attrs& transform) {
    const NodeId id = graph_.add_node("WinogradWeights", {w}, transform, node.name + ".weights");
    graph_.node(id).layer = node.layer;
    graph_.node(id).phase = node.phase;
    nodes_.push_back(graph_.node(id));
    nodes_.push_back(node);
    nodes_.back().spec = &op_registry().at(op);
    nodes_.back().attrs = attrs;
    nodes_.back().inputs[1] = graph_.output(id);
  }

  Graph& graph_;
  const Effort& effort_;
  std::vector<Node> nodes_;
};

}  // namespace

void use_winograd(Graph& graph, const Effort& effort) { Rewriter(graph, effort).run(); }

}  // namespace hpdlf::graph
