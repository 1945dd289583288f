#include <algorithm>
#include <set>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& graph)
      : graph_(graph), is_defined_(graph.values().size(), false) {}

  void run() {
    check_values();
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      HPDLF_ASSERT(names.insert(node.name).second, "graph {} has two nodes \"{}\"", graph_.name(),
                   node.name);
      check_node(node, static_cast<NodeId>(i));
    }
    check_ends();
  }

 private:
  void check_values() {
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < graph_.values().size(); ++i) {
      const Value& value = graph_.values()[i];
      HPDLF_ASSERT(names.insert(value.name).second, "graph {} has two values `{}`", graph_.name(),
                   value.name);
      HPDLF_ASSERT(value.role != Role::constant ||
                       static_cast<std::int64_t>(value.content.size()) == value.type.bytes(),
                   "constant `{}` is {} and has {} bytes", value.name, to_string(value.type),
                   value.content.size());
      is_defined_[i] = value.role != Role::computed;
    }
  }

  void check_operand(const Node& node, ValueId id) const {
    HPDLF_ASSERT(id >= 0 && id < static_cast<ValueId>(is_defined_.size()),
                 "node \"{}\" reads value {} of {}", node.name, id, is_defined_.size());
    HPDLF_ASSERT(is_defined_[static_cast<std::size_t>(id)],
                 "node \"{}\" reads `{}` before it is computed", node.name, graph_.value(id).name);
    HPDLF_ASSERT(consumed_.count(id) == 0,
                 "node \"{}\" reads `{}`, which an earlier node has added to in place", node.name,
                 graph_.value(id).name);
  }

  void check_node(const Node& node, NodeId id) {
    HPDLF_ASSERT(node.spec != nullptr, "node \"{}\" has no operator", node.name);
    for (const auto input : node.inputs) check_operand(node, input);
    check_types(node);
    if (node.accumulate != kNone) check_accumulate(node);
    for (const auto output : node.outputs) {
      HPDLF_ASSERT(
          graph_.value(output).producer == id && !is_defined_[static_cast<std::size_t>(output)],
          "`{}` is not computed by node \"{}\" alone", graph_.value(output).name, node.name);
      is_defined_[static_cast<std::size_t>(output)] = true;
    }
  }

  void check_types(const Node& node) const {
    HPDLF_ASSERT(complete_attrs(*node.spec, node.attrs) == node.attrs,
                 "attributes of node \"{}\" are not complete", node.name);
    const OpCall call = call_of(graph_, node);
    OpCall inferred = call;
    inferred.outputs.clear();
    node.spec->infer(inferred);
    HPDLF_ASSERT(inferred.outputs == call.outputs,
                 "outputs of node \"{}\" ({}) are not of the inferred types", node.name,
                 node.spec->name);
    (void)tiling_rule(call);  // throws if the rule does not fit the call
  }

  void check_accumulate(const Node& node) {
    check_operand(node, node.accumulate);
    const Value& base = graph_.value(node.accumulate);
    HPDLF_ASSERT(node.spec->accumulates, "node \"{}\" adds to `{}`, but {} cannot", node.name,
                 base.name, node.spec->name);
    HPDLF_ASSERT(base.type == graph_.value(node.outputs[0]).type,
                 "node \"{}\" adds {} to `{}`, which is {}", node.name,
                 to_string(graph_.value(node.outputs[0]).type), base.name, to_string(base.type));
    HPDLF_ASSERT(base.role == Role::computed,
                 "node \"{}\" adds to `{}` in place, which is not a computed value", node.name,
                 base.name);
    HPDLF_ASSERT(
        std::find(node.inputs.begin(), node.inputs.end(), node.accumulate) == node.inputs.end(),
        "node \"{}\" reads `{}` and adds to it", node.name, base.name);
    consumed_.insert(node.accumulate);
  }

  void check_end(ValueId id, std::string_view what) const {
    HPDLF_ASSERT(id >= 0 && id < static_cast<ValueId>(is_defined_.size()) &&
                     is_defined_[static_cast<std::size_t>(id)] && consumed_.count(id) == 0,
                 "{} reads value {}, which nothing computes or which was added to in place", what,
                 id);
  }

  void check_ends() const {
    for (const auto& [state, content] : graph_.updates()) {
      check_end(content, "an update");
      HPDLF_ASSERT(graph_.value(state).type == graph_.value(content).type,
                   "`{}` is {}, its update {}", graph_.value(state).name,
                   to_string(graph_.value(state).type), to_string(graph_.value(content).type));
    }
    for (const auto& [name, id] : graph_.fetches()) check_end(id, "fetch " + name);
  }

  const Graph& graph_;
  std::vector<bool> is_defined_;
  std::set<ValueId> consumed_;  // values that a node has added to in place
};

}  // namespace

void verify(const Graph& graph) { Verifier(graph).run(); }

}  // namespace hpdlf::graph
