#include "graph/ir.hpp"

#include <algorithm>
#include <set>

#include "base/hash.hpp"
#include "base/nearest.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

std::string operand_types(const OpCall& call) {
  std::string text;
  for (const auto& type : call.inputs) text += (text.empty() ? "" : ", ") + to_string(type);
  return text.empty() ? "none" : text;
}

/// Number of operands that a list of specs admits: [least, most].
void check_arity(const OpCall& call) {
  std::size_t least = 0;
  bool is_open = false;
  for (const auto& operand : call.spec->inputs) {
    if (operand.arity != OperandSpec::Arity::optional) ++least;
    if (operand.arity == OperandSpec::Arity::variadic) is_open = true;
  }
  const std::size_t most = call.spec->inputs.size();
  const std::size_t given = call.inputs.size();
  HPDLF_CHECK(given >= least && (is_open || given <= most), "takes {} inputs, not {}",
              is_open         ? fmt::format("{} or more", least)
              : least == most ? fmt::format("{}", least)
                              : fmt::format("{} to {}", least, most),
              given);
}

void infer(OpCall& call) {
  check_arity(call);
  call.spec->infer(call);
  const auto& specs = call.spec->outputs;
  const bool is_variadic = specs.back().arity == OperandSpec::Arity::variadic;
  HPDLF_ASSERT(is_variadic ? !call.outputs.empty() : call.outputs.size() == specs.size(),
               "inference of {} gave {} outputs", call.spec->name, call.outputs.size());
}

std::string output_name(const Node& node, std::size_t index, std::size_t count) {
  if (count == 1) return node.name;
  const auto& specs = node.spec->outputs;
  const bool is_variadic =
      specs.back().arity == OperandSpec::Arity::variadic && index + 1 >= specs.size();
  return fmt::format("{}.{}", node.name, is_variadic ? std::to_string(index) : specs[index].name);
}

}  // namespace

std::string to_string(const TensorType& type) {
  return fmt::format("{}{}", name_of(type.dtype), to_string(type.extents));
}

std::string_view name_of(Phase phase) {
  constexpr std::string_view kNames[] = {"load",   "forward", "loss", "backward",
                                         "reduce", "update",  "move"};
  return kNames[static_cast<std::size_t>(phase)];
}

Graph::Graph(std::string name) : name_(std::move(name)) {}

ValueId Graph::add_value(Value value) {
  HPDLF_CHECK(!value.name.empty(), "a value of graph {} has no name", name_);
  value.name = value.role == Role::computed ? unique_name(value.name) : value.name;
  HPDLF_CHECK(unique_name(value.name) == value.name, "graph {} already has `{}`", name_,
              value.name);
  values_.push_back(std::move(value));
  return static_cast<ValueId>(values_.size()) - 1;
}

ValueId Graph::add_input(const std::string& name, TensorType type) {
  return add_value({.name = name, .type = type, .role = Role::input});
}

ValueId Graph::add_constant(const std::string& name, TensorType type,
                            std::vector<std::byte> content) {
  HPDLF_CHECK(static_cast<std::int64_t>(content.size()) == type.bytes(),
              "constant `{}` is {} and has {} bytes of content", name, to_string(type),
              content.size());
  return add_value(
      {.name = name, .type = type, .role = Role::constant, .content = std::move(content)});
}

ValueId Graph::add_parameter(const std::string& name, TensorType type, Initializer init) {
  return add_value({.name = name, .type = type, .role = Role::parameter, .init = init});
}

ValueId Graph::add_state(const std::string& name, TensorType type, Initializer init) {
  return add_value({.name = name, .type = type, .role = Role::state, .init = init});
}

NodeId Graph::add_node(std::string_view op, std::vector<ValueId> inputs, const Attrs& attrs,
                       const std::string& name) {
  const auto id = static_cast<NodeId>(nodes_.size());
  Node node{.spec = nullptr,
            .name = unique_name(name),
            .layer = {},
            .attrs = {},
            .inputs = std::move(inputs),
            .outputs = {}};
  OpCall call;
  try {
    node.spec = &op_registry().at(op);
    node.attrs = complete_attrs(*node.spec, attrs);
    for (const auto input : node.inputs)
      HPDLF_ASSERT(input >= 0 && input < static_cast<ValueId>(values_.size()),
                   "operand {} does not exist", input);
    call = call_of(*this, node);
    infer(call);
  } catch (InternalError& error) {
    error.add_context(fmt::format("adding node \"{}\" ({})", name, op));
    throw;
  } catch (Error& error) {
    const std::string operands = call.spec == nullptr ? "" : "; operands: " + operand_types(call);
    const std::string hint =
        call.spec == nullptr ? "" : fmt::format("`hpdlf ops {}` describes the operator", op);
    throw Error(fmt::format("node \"{}\" ({}): {}{}", name, op, error.message(), operands),
                error.hint().empty() ? hint : error.hint());
  }
  for (std::size_t i = 0; i < call.outputs.size(); ++i)
    node.outputs.push_back(add_value({.name = output_name(node, i, call.outputs.size()),
                                      .type = call.outputs[i],
                                      .role = Role::computed,
                                      .producer = id}));
  nodes_.push_back(std::move(node));
  return id;
}

void Graph::update(ValueId state, ValueId new_content) {
  const Value& old = value(state);
  HPDLF_CHECK(old.role == Role::parameter || old.role == Role::state,
              "`{}` is neither parameter nor state", old.name);
  HPDLF_CHECK(old.type == value(new_content).type, "`{}` is {}, its new content `{}` is {}",
              old.name, to_string(old.type), value(new_content).name,
              to_string(value(new_content).type));
  for (const auto& [updated, content] : updates_)
    HPDLF_CHECK(updated != state, "`{}` is updated twice, by `{}` and `{}`", old.name,
                value(content).name, value(new_content).name);
  updates_.emplace_back(state, new_content);
}

void Graph::fetch(const std::string& name, ValueId value) {
  for (const auto& [known, id] : fetches_)
    HPDLF_CHECK(known != name, "two values are fetched as `{}`", name);
  fetches_.emplace_back(name, value);
}

ValueId Graph::find(std::string_view name) const {
  std::vector<std::string> known;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (values_[i].name == name) return static_cast<ValueId>(i);
    known.push_back(values_[i].name);
  }
  throw Error(fmt::format("graph {} has no value `{}`{}", name_, name, did_you_mean(name, known)));
}

std::int64_t Graph::parameter_count() const {
  std::int64_t count = 0;
  for (const auto& value : values_)
    if (value.role == Role::parameter) count += value.type.elements();
  return count;
}

std::uint64_t Graph::fingerprint() const {
  Hash hash;
  const auto add_ids = [&](const std::vector<ValueId>& ids) {
    hash.add(static_cast<std::int64_t>(ids.size()));
    for (const auto id : ids) hash.add(static_cast<std::int64_t>(id));
  };
  for (const auto& value : values_)
    hash.add(to_string(value.type)).add(static_cast<std::int64_t>(value.role));
  for (const auto& node : nodes_) {
    hash.add(node.spec->name)
        .add(to_string(node.attrs))
        .add(static_cast<std::int64_t>(node.accumulate));
    add_ids(node.inputs);
    add_ids(node.outputs);
  }
  for (const auto& [state, content] : updates_) add_ids({state, content});
  for (const auto& [name, id] : fetches_) hash.add(name).add(static_cast<std::int64_t>(id));
  return hash.value();
}

void Graph::replace_nodes(std::vector<Node> nodes) {
  nodes_ = std::move(nodes);
  for (auto& value : values_) value.producer = kNone;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    for (const auto output : nodes_[i].outputs) value(output).producer = static_cast<NodeId>(i);
}

std::string Graph::unique_name(const std::string& name) const {
  std::set<std::string_view> taken;
  const auto note = [&](std::string_view known) {
    if (known.substr(0, name.size()) == name) taken.insert(known);
  };
  for (const auto& value : values_) note(value.name);
  for (const auto& node : nodes_) note(node.name);
  if (taken.count(name) == 0) return name;
  int number = 2;
  while (taken.count(fmt::format("{}_{}", name, number)) != 0) ++number;
  return fmt::format("{}_{}", name, number);
}

}  // namespace hpdlf::graph
