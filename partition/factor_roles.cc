#include "partition/factor_roles.hpp"

#include "graph/op_spec.hpp"

namespace hpdlf::partition {
namespace {

constexpr char kUnknown = 0;

bool is_data_role(char letter) { return kDataRoles.find(letter) != std::string_view::npos; }

/// One letter a dimension of a graph input; only data roles are carried. Integers (labels, tokens) are one a position: no channels.
std::string input_labels(const graph::TensorType& type) {
  const int rank = type.extents.rank();
  std::string labels;
  for (const char c : graph::usual_letters(is_float(type.dtype) ? rank : rank + 1))
    if (c != ' ') labels += is_data_role(c) ? c : kUnknown;
  labels.resize(static_cast<std::size_t>(rank), kUnknown);
  return labels;
}

NodeFactors label_node(const graph::Graph& graph, const graph::Node& node,
                       std::vector<std::string>& labels) {
  NodeFactors factors{graph::tiling_rule(graph::call_of(graph, node)), {}};
  const auto& rule = factors.rule;
  factors.roles.assign(rule.factors.size(), kUnknown);
  for (std::size_t i = 0; i < rule.inputs.size(); ++i)
    for (std::size_t dim = 0; dim < rule.inputs[i].size(); ++dim) {
      const int f = rule.inputs[i][dim].factor;
      if (f >= 0 && factors.roles[static_cast<std::size_t>(f)] == kUnknown)
        factors.roles[static_cast<std::size_t>(f)] =
            labels[static_cast<std::size_t>(node.inputs[i])][dim];
    }
  for (std::size_t o = 0; o < rule.outputs.size(); ++o)
    for (std::size_t dim = 0; dim < rule.outputs[o].size(); ++dim)
      if (const int f = rule.outputs[o][dim].factor; f >= 0)
        labels[static_cast<std::size_t>(node.outputs[o])][dim] =
            factors.roles[static_cast<std::size_t>(f)];
  for (std::size_t f = 0; f < rule.factors.size(); ++f) {
    char& role = factors.roles[f];
    // A letter of the data on a factor that no data runs along is a coincidence (the columns `n` of a MatMul): an output channel.
    if (role == kUnknown)
      role = is_data_role(rule.factors[f].letter) ? 'k' : rule.factors[f].letter;
  }
  return factors;
}

}  // namespace

int NodeFactors::channel() const {
  if (rule.outputs.empty()) return -1;
  // One that only lesser outputs are summed over is as good: partial sums of those.
  const auto is_free = [&](int f) {
    if (f < 0 || is_data(f)) return false;
    const auto kind = rule.factors[static_cast<std::size_t>(f)].kind;
    return kind == graph::Factor::Kind::parallel ||
           (kind == graph::Factor::Kind::summed &&
            !graph::TilingRule::is_missing(rule.outputs[0], f));
  };
  for (std::size_t f = 0; f < roles.size(); ++f)
    if (roles[f] == 'k' && is_free(static_cast<int>(f))) return static_cast<int>(f);
  if (rule.outputs[0].empty()) return -1;
  const int last = rule.outputs[0].back().factor;
  return is_free(last) ? last : -1;
}

std::vector<NodeFactors> factor_roles(const graph::Graph& graph) {
  std::vector<std::string> labels;  // [ValueId], a role a dimension
  for (const auto& value : graph.values()) {
    const int rank = value.type.extents.rank();
    const bool is_data = value.role == graph::Role::input;
    labels.push_back(is_data ? input_labels(value.type)
                             : std::string(static_cast<std::size_t>(rank), kUnknown));
  }
  std::vector<NodeFactors> factors;
  for (const auto& node : graph.nodes()) factors.push_back(label_node(graph, node, labels));
  return factors;
}

}  // namespace hpdlf::partition
