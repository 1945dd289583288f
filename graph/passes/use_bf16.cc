#include <algorithm>
#include <map>

#include "graph/op_spec.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::graph {
namespace {

/// Walks the nodes in their order: what a node reads has its new type already.
class Narrowing {
 public:
  explicit Narrowing(Graph& graph)
      : graph_(graph), originals_(graph.nodes()), is_narrowed_(graph.values().size(), false) {}

  void run() {
    for (Node node : originals_) {
      const bool is_bf16 = runs_in_bf16(node);
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const bool wants_bf16 = is_bf16 && may_be_bf16(*node.spec, i);
        node.inputs[i] = wants_bf16 ? narrow(node.inputs[i], node) : wide(node.inputs[i], node);
      }
      infer_outputs(node);
      nodes_.push_back(std::move(node));
    }
    graph_.replace_nodes(std::move(nodes_));
  }

 private:
  static std::size_t index(ValueId id) { return static_cast<std::size_t>(id); }

  static bool may_be_bf16(const OpSpec& spec, std::size_t input) {
    const bool is_variadic = spec.inputs.back().arity == OperandSpec::Arity::variadic;
    const std::size_t operand = is_variadic ? std::min(input, spec.inputs.size() - 1) : input;
    return std::find(spec.bf16_inputs.begin(), spec.bf16_inputs.end(), static_cast<int>(operand)) !=
           spec.bf16_inputs.end();
  }

  /// A node that adds to a result in place has its type: the first of such a chain decides for all.
  [[nodiscard]] bool runs_in_bf16(const Node& node) const {
    if (node.accumulate != kNone) return graph_.value(node.accumulate).type.dtype == DType::bf16;
    return gains_from_bf16(node) && can_run_in_bf16(node);
  }

  [[nodiscard]] bool gains_from_bf16(const Node& node) const {
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (may_be_bf16(*node.spec, i) && (node.spec->prefers_bf16 || is_narrowed(node.inputs[i])))
        return true;
    return false;
  }

  /// And all that add to its results in place.
  [[nodiscard]] bool can_run_in_bf16(const Node& node) const {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const DType dtype = graph_.value(node.inputs[i]).type.dtype;
      if (may_be_bf16(*node.spec, i) && dtype != DType::f32 && dtype != DType::bf16) return false;
    }
    const auto may_change = [&](ValueId output) {
      const Node* adder = adder_to(output);
      return !is_bound(output) && (adder == nullptr || can_run_in_bf16(*adder));
    };
    return !node.spec->bf16_inputs.empty() &&
           std::all_of(node.outputs.begin(), node.outputs.end(), may_change);
  }

  /// nullptr if no node adds to `value` in place.
  [[nodiscard]] const Node* adder_to(ValueId value) const {
    const auto found = std::find_if(originals_.begin(), originals_.end(),
                                    [&](const Node& node) { return node.accumulate == value; });
    return found == originals_.end() ? nullptr : &*found;
  }

  [[nodiscard]] bool is_narrowed(ValueId id) const {
    return index(id) < is_narrowed_.size() && is_narrowed_[index(id)];
  }

  /// The host reads it, or a state takes it over: its type is known outside.
  [[nodiscard]] bool is_bound(ValueId id) const {
    const auto is_it = [id](const auto& binding) { return binding.second == id; };
    return std::any_of(graph_.fetches().begin(), graph_.fetches().end(), is_it) ||
           std::any_of(graph_.updates().begin(), graph_.updates().end(), is_it);
  }

  ValueId narrow(ValueId id, const Node& reader) {
    return graph_.value(id).type.dtype == DType::f32 ? cast(id, DType::bf16, reader) : id;
  }
  ValueId wide(ValueId id, const Node& reader) {
    return is_narrowed(id) ? cast(id, DType::f32, reader) : id;
  }

  /// One Cast a value, where its first reader is.
  ValueId cast(ValueId id, DType dtype, const Node& reader) {
    const auto [known, is_new] = casts_.try_emplace(id, kNone);
    if (!is_new) return known->second;
    const std::string to(name_of(dtype));
    const NodeId node =
        graph_.add_node("Cast", {id}, {{"to", to}}, graph_.value(id).name + "." + to);
    graph_.node(node).layer = reader.layer;
    graph_.node(node).phase = reader.phase;
    nodes_.push_back(graph_.node(node));
    return known->second = graph_.output(node);
  }

  void infer_outputs(const Node& node) {
    OpCall call = call_of(graph_, node);
    call.outputs.clear();
    node.spec->infer(call);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      TensorType& type = graph_.value(node.outputs[i]).type;
      is_narrowed_[index(node.outputs[i])] =
          type.dtype == DType::f32 && call.outputs[i].dtype == DType::bf16;
      type = call.outputs[i];
    }
  }

  Graph& graph_;
  std::vector<Node> originals_;    // a copy: casts are added to the graph's own
  std::vector<bool> is_narrowed_;  // [value of the original graph]
  std::vector<Node> nodes_;
  std::map<ValueId, ValueId> casts_;  // a value is cast to the other type only
};

}  // namespace

void use_bf16(Graph& graph) { Narrowing(graph).run(); }

}  // namespace hpdlf::graph
