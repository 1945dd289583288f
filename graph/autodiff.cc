#include "graph/autodiff.hpp"

#include <algorithm>
#include <cctype>

#include "base/element.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

/// "GradWeight" -> "grad_weight"
std::string snake_case(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !text.empty() && text.back() != '_')
      text += '_';
    text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

/// Node name of operator `emitted` in the gradient of `node`: ConvGradWeight of "c" (Conv) is "c.grad_weight", a Mul "c.grad_mul".
std::string gradient_name(const Node& node, std::string_view emitted) {
  const std::string own = node.spec->name + "Grad";
  if (emitted.substr(0, own.size()) == own)
    return node.name + "." + snake_case(emitted.substr(own.size() - 4));
  return node.name + ".grad_" + snake_case(emitted);
}

bool is_differentiable(const Node& node, std::size_t input, const Graph& graph) {
  const auto& excluded = node.spec->no_gradient_inputs;
  return is_float(graph.value(node.inputs[input]).type.dtype) &&
         std::find(excluded.begin(), excluded.end(), static_cast<int>(input)) == excluded.end();
}

/// One reverse sweep over the nodes that exist when it starts.
class ReverseSweep {
 public:
  ReverseSweep(Graph& graph, const std::vector<ValueId>& by)
      : graph_(graph), forward_nodes_(graph.nodes().size()) {
    resize();
    for (const auto id : by) is_wanted_[index(id)] = is_target_[index(id)] = true;
    for (const auto& node : graph.nodes()) {
      bool depends = node.accumulate != kNone && is_wanted_[index(node.accumulate)];
      for (std::size_t i = 0; i < node.inputs.size(); ++i)
        depends =
            depends || (is_wanted_[index(node.inputs[i])] && is_differentiable(node, i, graph));
      for (const auto output : node.outputs)
        if (depends) is_wanted_[index(output)] = true;
    }
  }

  void run(const std::vector<Seed>& seeds) {
    for (const auto& [value, gradient] : seeds)
      if (is_wanted_[index(value)]) contribute(value, gradient, "", false);
    for (std::size_t i = forward_nodes_; i-- > 0;) visit(static_cast<NodeId>(i));
  }

  [[nodiscard]] ValueId gradient(ValueId value) const { return grads_[index(value)]; }

 private:
  class Context;

  static std::size_t index(std::int32_t id) { return static_cast<std::size_t>(id); }

  void resize() {
    const std::size_t count = graph_.values().size();
    grads_.resize(count, kNone);
    is_wanted_.resize(count, false);
    is_target_.resize(count, false);
  }

  void visit(NodeId id);
  /// Adds `gradient` to what flows to `value`. @param is_sole nothing else has `gradient` or is about to get it
  void contribute(ValueId value, ValueId gradient, const std::string& layer, bool is_sole);
  /// `gradient` as `dtype`.
  ValueId cast(ValueId gradient, DType dtype, const std::string& layer);
  /// Appends a node of phase backward; returns its output 0.
  ValueId add_node(std::string_view op, std::vector<ValueId> inputs, const Attrs& attrs,
                   const std::string& name, const std::string& layer);
  /// Makes the node that computes `later` add to `earlier` in place, if that changes nothing else.
  bool accumulate_in_place(ValueId earlier, ValueId later);

  /// Values whose gradient is `gradient` and may still be read. An entry ends when the producer of its value has been visited.
  [[nodiscard]] std::ptrdiff_t holders(ValueId gradient) const {
    return std::count(grads_.begin(), grads_.end(), gradient);
  }
  [[nodiscard]] bool is_read(ValueId value) const {
    return std::any_of(graph_.nodes().begin(), graph_.nodes().end(), [&](const Node& node) {
      return node.accumulate == value ||
             std::find(node.inputs.begin(), node.inputs.end(), value) != node.inputs.end();
    });
  }

  Graph& graph_;
  std::size_t forward_nodes_;
  std::vector<ValueId> grads_;   // [value]
  std::vector<bool> is_wanted_;  // [value]: depends on a target
  std::vector<bool> is_target_;  // [value]
};

/// Collects what the gradient function of one node emits; contributions take effect when it has returned.
class ReverseSweep::Context : public GradContext {
 public:
  Context(ReverseSweep& sweep, Node node) : sweep_(sweep), node_(std::move(node)) {}

  [[nodiscard]] const Node& node() const override { return node_; }
  [[nodiscard]] const TensorType& type(ValueId value) const override {
    return sweep_.graph_.value(value).type;
  }
  [[nodiscard]] ValueId wide_grad_output(int i) const override {
    return sweep_.gradient(output(i));
  }
  [[nodiscard]] ValueId grad_output(int i) override {
    const ValueId wide = wide_grad_output(i);
    if (wide == kNone) return kNone;
    const ValueId grad = sweep_.cast(wide, type(output(i)).dtype, node_.layer);
    sweep_.grads_[index(output(i))] = grad;
    return grad;
  }
  [[nodiscard]] bool wants_grad(int input) const override {
    const auto i = static_cast<std::size_t>(input);
    return i < node_.inputs.size() && sweep_.is_wanted_[index(node_.inputs[i])] &&
           is_differentiable(node_, i, sweep_.graph_);
  }
  std::vector<ValueId> emit_all(std::string_view op, std::vector<ValueId> inputs,
                                const Attrs& attrs) override {
    Graph& graph = sweep_.graph_;
    const NodeId id = graph.add_node(op, std::move(inputs), attrs, gradient_name(node_, op));
    graph.node(id).phase = Phase::backward;
    graph.node(id).layer = node_.layer;
    sweep_.resize();
    return graph.node(id).outputs;
  }
  void set_grad_input(int input, ValueId grad) override {
    if (wants_grad(input)) contributions_.emplace_back(input, grad);
  }
  [[nodiscard]] const std::vector<std::pair<int, ValueId>>& contributions() const {
    return contributions_;
  }

 private:
  ReverseSweep& sweep_;
  Node node_;  // a copy: the graph's nodes move when one is added
  std::vector<std::pair<int, ValueId>> contributions_;
};

void ReverseSweep::visit(NodeId id) {
  Context context(*this, graph_.node(id));
  const Node& node = context.node();
  const auto has_gradient = [&](ValueId output) { return grads_[index(output)] != kNone; };
  if (!std::any_of(node.outputs.begin(), node.outputs.end(), has_gradient)) return;

  for (const int i : node.spec->no_gradient_outputs)
    HPDLF_CHECK(!has_gradient(node.outputs[static_cast<std::size_t>(i)]),
                "a loss depends on output {} of node \"{}\" ({}), which is for its gradient alone",
                i, node.name, node.spec->name);
  bool is_needed = false;
  for (std::size_t i = 0; i < node.inputs.size(); ++i)
    is_needed = is_needed || context.wants_grad(static_cast<int>(i));
  if (is_needed) {
    HPDLF_CHECK(node.spec->gradient != nullptr,
                "node \"{}\" ({}) has no gradient, but a parameter is behind it", node.name,
                node.spec->name);
    node.spec->gradient(context);
  }
  const auto& contributions = context.contributions();
  for (const auto& [input, gradient] : contributions) {
    const auto same = [&, g = gradient](const auto& other) { return other.second == g; };
    const bool is_sole = std::count_if(contributions.begin(), contributions.end(), same) == 1;
    contribute(context.input(input), gradient, node.layer, is_sole);
  }
  if (node.accumulate != kNone && is_wanted_[index(node.accumulate)] &&
      has_gradient(node.outputs[0]))
    contribute(node.accumulate, grads_[index(node.outputs[0])], node.layer, false);
  for (const auto output : node.outputs)
    if (!is_target_[index(output)]) grads_[index(output)] = kNone;
}

void ReverseSweep::contribute(ValueId value, ValueId gradient, const std::string& layer,
                              bool is_sole) {
  const TensorType type = graph_.value(value).type, given = graph_.value(gradient).type;
  const bool is_wider = type.dtype == DType::bf16 && given.dtype == DType::f32;
  HPDLF_ASSERT(given.extents == type.extents && (given.dtype == type.dtype || is_wider),
               "the gradient of `{}`, which is {}, is {}", graph_.value(value).name,
               to_string(type), to_string(given));
  const ValueId earlier = grads_[index(value)];
  if (earlier == kNone || (is_sole && accumulate_in_place(earlier, gradient))) {
    grads_[index(value)] = gradient;
    return;
  }
  const bool is_wide = is_wider || graph_.value(earlier).type.dtype == DType::f32;
  const DType dtype = is_wide ? DType::f32 : type.dtype;
  const ValueId a = cast(earlier, dtype, layer), b = cast(gradient, dtype, layer);
  const std::string_view op = dtype == DType::f64 ? "Sum" : "Add";  // Add takes no f64
  const ValueId sum = add_node(op, {a, b}, {}, graph_.value(value).name + ".grad_sum", layer);
  grads_[index(value)] = sum;
}

ValueId ReverseSweep::cast(ValueId gradient, DType dtype, const std::string& layer) {
  if (graph_.value(gradient).type.dtype == dtype) return gradient;
  const std::string to(name_of(dtype));
  return add_node("Cast", {gradient}, {{"to", to}}, graph_.value(gradient).name + "." + to, layer);
}

ValueId ReverseSweep::add_node(std::string_view op, std::vector<ValueId> inputs, const Attrs& attrs,
                               const std::string& name, const std::string& layer) {
  const NodeId id = graph_.add_node(op, std::move(inputs), attrs, name);
  graph_.node(id).phase = Phase::backward;
  graph_.node(id).layer = layer;
  resize();
  return graph_.output(id);
}

bool ReverseSweep::accumulate_in_place(ValueId earlier, ValueId later) {
  const NodeId adder = graph_.value(later).producer;
  const NodeId base = graph_.value(earlier).producer;
  if (adder < static_cast<NodeId>(forward_nodes_) || base < static_cast<NodeId>(forward_nodes_) ||
      base >= adder)
    return false;
  Node& node = graph_.node(adder);
  const bool can_add = node.spec->accumulates && node.accumulate == kNone &&
                       node.outputs[0] == later &&
                       graph_.value(earlier).type == graph_.value(later).type;
  const bool reads_base =
      std::find(node.inputs.begin(), node.inputs.end(), earlier) != node.inputs.end();
  // The base dies in the addition, and the result takes another meaning: nobody else may hold either.
  if (!can_add || reads_base || holders(earlier) != 1 || holders(later) != 0 || is_read(later))
    return false;
  for (NodeId reader = adder + 1; reader < static_cast<NodeId>(graph_.nodes().size()); ++reader) {
    const Node& after = graph_.node(reader);
    if (std::find(after.inputs.begin(), after.inputs.end(), earlier) != after.inputs.end())
      return false;
  }
  node.accumulate = earlier;
  return true;
}

}  // namespace

std::vector<Gradient> differentiate(Graph& graph, const std::vector<Seed>& seeds,
                                    const std::vector<ValueId>& by) {
  ReverseSweep sweep(graph, by);
  sweep.run(seeds);
  std::vector<Gradient> gradients;
  for (const auto value : by)
    if (sweep.gradient(value) != kNone) gradients.push_back({value, sweep.gradient(value)});
  return gradients;
}

std::vector<Gradient> differentiate(Graph& graph, ValueId loss, const std::vector<ValueId>& by) {
  const TensorType type = graph.value(loss).type;
  const std::string name = graph.value(loss).name;
  HPDLF_CHECK(type.elements() == 1 && is_float(type.dtype), "loss `{}` is {}; it must be one float",
              name, to_string(type));
  std::vector<std::byte> one(static_cast<std::size_t>(type.bytes()));
  store_element(one.data(), type.dtype, 0, 1.0);
  const ValueId seed = graph.add_constant(name + ".seed", type, std::move(one));
  return differentiate(graph, {{loss, seed}}, by);
}

std::vector<Gradient> differentiate(Graph& graph, ValueId loss) {
  std::vector<ValueId> parameters;
  for (std::size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].role == Role::parameter) parameters.push_back(static_cast<ValueId>(i));
  return differentiate(graph, loss, parameters);
}

}  // namespace hpdlf::graph
