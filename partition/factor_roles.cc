#include "partition/factor_roles.hpp"

#include "graph/op_spec.hpp"

namespace hpdlf::partition {
namespace {

bool is_data_role(char letter) { return kDataRoles.find(letter) != std::string_view::npos; }

/// One letter a dimension of a graph input; only data roles are carried. Integers (labels, tokens) have no channels.
std::string input_labels(const graph::TensorType& type) {
  const int rank = type.extents.rank();
  constexpr int kMostNamed = 7;  // dimensions that graph::usual_letters knows
  const bool has_channels = is_float(type.dtype) || rank == kMostNamed;
  std::string labels;
  for (const char c : graph::usual_letters(rank + (has_channels ? 0 : 1)))
    if (c != ' ') labels += is_data_role(c) ? c : kNoRole;
  labels.resize(static_cast<std::size_t>(rank), kNoRole);
  return labels;
}

NodeFactors label_node(const graph::Graph& graph, const graph::Node& node,
                       std::vector<std::string>& labels) {
  NodeFactors factors{graph::tiling_rule(graph::call_of(graph, node)), {}};
  const auto& rule = factors.rule;
  factors.roles.assign(rule.factors.size(), kNoRole);
  for (std::size_t i = 0; i < rule.inputs.size(); ++i)
    for (std::size_t dim = 0; dim < rule.inputs[i].size(); ++dim) {
      const int f = rule.inputs[i][dim].factor;
      if (f >= 0 && factors.roles[static_cast<std::size_t>(f)] == kNoRole)
        factors.roles[static_cast<std::size_t>(f)] =
            labels[static_cast<std::size_t>(node.inputs[i])][dim];
    }
  for (std::size_t o = 0; o < rule.outputs.size(); ++o)
    for (std::size_t dim = 0; dim < rule.outputs[o].size(); ++dim)
      if (const int f = rule.outputs[o][dim].factor; f >= 0)
        labels[static_cast<std::size_t>(node.outputs[o])][dim] =
            factors.roles[static_cast<std::size_t>(f)];
  bool has_channels = false;
  for (std::size_t f = 0; f < rule.factors.size(); ++f) {
    const graph::Factor& factor = rule.factors[f];
    char& role = factors.roles[f];
    // A letter of the data on a factor that no data runs along is a coincidence (the columns `n` of a MatMul): an output channel. Further
    // ones beside channels are none (the taps of a weight).
    if (role == kNoRole && !is_data_role(factor.letter))
      role = factor.letter;
    else if (role == kNoRole && !has_channels)
      role = 'k';
    has_channels |=
        role == 'k' && factor.kind == graph::Factor::Kind::parallel && factor.extent > 1;
  }
  return factors;
}

}  // namespace

int NodeFactors::channel() const {
  using Kind = graph::Factor::Kind;
  const auto is_a = [&](int f, Kind kind) {
    return f >= 0 && !is_data(f) && rule.factors[static_cast<std::size_t>(f)].kind == kind;
  };
  const auto find = [&](Kind kind) {
    for (int f = 0; f < static_cast<int>(roles.size()); ++f)
      if (roles[static_cast<std::size_t>(f)] == 'k' && is_a(f, kind)) return f;
    return -1;
  };
  if (const int free = find(Kind::parallel); free >= 0) return free;
  if (rule.outputs.empty() || rule.outputs[0].empty()) return -1;
  if (const int last = rule.outputs[0].back().factor; is_a(last, Kind::parallel)) return last;
  return find(Kind::summed);
}

std::vector<NodeFactors> factor_roles(const graph::Graph& graph) {
  std::vector<std::string> labels;  // [ValueId], a role a dimension
  for (const auto& value : graph.values()) {
    const auto rank = static_cast<std::size_t>(value.type.extents.rank());
    const bool is_data = value.role == graph::Role::input;
    labels.push_back(is_data ? input_labels(value.type) : std::string(rank, kNoRole));
  }
  std::vector<NodeFactors> factors;
  for (const auto& node : graph.nodes()) factors.push_back(label_node(graph, node, labels));
  return factors;
}

}  // namespace hpdlf::partition
