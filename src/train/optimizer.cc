#include "train/optimizer.hpp"

#include <algorithm>

#include "base/nearest.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::train {
namespace {

using graph::Graph;
using graph::ValueId;

const std::vector<std::string> kOptimizers = {"adamw", "sgd"};

ValueId zero_state(Graph& g, ValueId parameter, const char* suffix) {
  const graph::Value& p = g.value(parameter);
  return g.add_state(p.name + suffix, p.type, {.kind = graph::Initializer::Kind::constant});
}

/// Adds the node and binds its outputs as the new contents of `states`.
void add_update(Graph& g, std::string_view op, const std::vector<ValueId>& states,
                std::vector<ValueId> inputs, const Attrs& attrs) {
  const std::string parameter = g.value(states.front()).name;
  const graph::NodeId id = g.add_node(op, std::move(inputs), attrs, parameter + ".update");
  graph::Node& node = g.node(id);
  node.phase = graph::Phase::update;
  for (const auto& other : g.nodes())  // the layer that reads the parameter first
    if (std::find(other.inputs.begin(), other.inputs.end(), states.front()) != other.inputs.end()) {
      node.layer = other.layer;
      break;
    }
  for (std::size_t i = 0; i < states.size(); ++i)
    g.update(states[i], g.output(id, static_cast<int>(i)));
}

}  // namespace

void add_optimizer(Graph& g, const std::vector<graph::Gradient>& gradients,
                   const OptimizerOptions& o) {
  const ValueId lr = g.add_input(kLearningRateInput, {DType::f32, {}});
  if (o.name == "adamw") {
    const ValueId step = g.add_input(kStepInput, {DType::f32, {}});
    std::vector<ValueId> scalars{lr, step};
    if (o.cycled_beta1) scalars.push_back(g.add_input(kBeta1Input, {DType::f32, {}}));
    const Attrs attrs{{"beta1", o.beta1},
                      {"beta2", o.beta2},
                      {"epsilon", o.epsilon},
                      {"weight_decay", o.weight_decay}};
    for (const auto& [parameter, gradient] : gradients) {
      const ValueId m = zero_state(g, parameter, ".exp_avg");
      const ValueId v = zero_state(g, parameter, ".exp_avg_sq");
      std::vector<ValueId> inputs{parameter, gradient, m, v};
      inputs.insert(inputs.end(), scalars.begin(), scalars.end());
      add_update(g, "AdamW", {parameter, m, v}, std::move(inputs), attrs);
    }
  } else if (o.name == "sgd") {
    const Attrs attrs{{"momentum", o.momentum},
                      {"nesterov", std::int64_t{o.nesterov ? 1 : 0}},
                      {"weight_decay", o.weight_decay}};
    for (const auto& [parameter, gradient] : gradients) {
      const ValueId buffer = zero_state(g, parameter, ".momentum_buffer");
      add_update(g, "SGD", {parameter, buffer}, {parameter, gradient, buffer, lr}, attrs);
    }
  } else {
    throw Error(fmt::format("unknown optimizer `{}`{}", o.name, did_you_mean(o.name, kOptimizers)));
  }
}

}  // namespace hpdlf::train
