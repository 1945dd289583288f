#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/nearest.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::graph {

#define HPDLF_OP_FAMILY(family) void register_##family##_ops(OpRegistry& registry);
#include "base/op_families.def"
#undef HPDLF_OP_FAMILY

namespace {

std::string type_name(const AttrValue& value) {
  constexpr std::string_view kNames[] = {"an integer", "a float", "a string", "a list of integers",
                                         "a list of floats"};
  return std::string(kNames[value.index()]);
}

/// `value` as the type of `wanted` where nothing is lost: integers serve as floats, an empty list as either kind of list.
AttrValue converted(AttrValue value, const AttrValue& wanted) {
  if (value.index() == wanted.index()) return value;
  const bool wants_reals = std::holds_alternative<std::vector<double>>(wanted);
  if (const auto* integer = std::get_if<std::int64_t>(&value);
      integer && std::holds_alternative<double>(wanted))
    return static_cast<double>(*integer);
  if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&value);
      integers && wants_reals)
    return std::vector<double>(integers->begin(), integers->end());
  if (const auto* reals = std::get_if<std::vector<double>>(&value);
      reals && reals->empty() && std::holds_alternative<std::vector<std::int64_t>>(wanted))
    return std::vector<std::int64_t>{};
  return value;
}

const AttrSpec& find_attr(const OpSpec& spec, const std::string& name) {
  std::vector<std::string> known;
  for (const auto& attr : spec.attrs) {
    if (attr.name == name) return attr;
    known.push_back(attr.name);
  }
  throw Error(fmt::format("{} has no attribute `{}`{}", spec.name, name, did_you_mean(name, known)),
              known.empty() ? "it has none" : fmt::format("it has {}", fmt::join(known, ", ")));
}

}  // namespace

void OpRegistry::add(OpSpec spec) {
  HPDLF_ASSERT(!spec.name.empty() && !spec.doc.empty(), "operator `{}` needs a name and a doc",
               spec.name);
  HPDLF_ASSERT(spec.rule.empty() != (spec.rule_for == nullptr),
               "operator {} needs `rule` or `rule_for`", spec.name);
  HPDLF_ASSERT(spec.infer != nullptr && spec.cost != nullptr,
               "operator {} needs `infer` and `cost`", spec.name);
  HPDLF_ASSERT(!spec.outputs.empty(), "operator {} has no outputs", spec.name);
  const auto [at, is_new] = specs_.try_emplace(spec.name, std::move(spec));
  HPDLF_ASSERT(is_new, "two operators named {}", at->first);
  order_.push_back(&at->second);
}

const OpSpec* OpRegistry::find(std::string_view name) const {
  const auto at = specs_.find(name);
  return at == specs_.end() ? nullptr : &at->second;
}

const OpSpec& OpRegistry::at(std::string_view name) const {
  if (const OpSpec* spec = find(name)) return *spec;
  std::vector<std::string> known;
  for (const auto* spec : order_) known.push_back(spec->name);
  throw Error(fmt::format("there is no operator `{}`{}", name, did_you_mean(name, known)),
              "`hpdlf ops` lists the operators");
}

const OpRegistry& op_registry() {
  static const OpRegistry registry = [] {
    OpRegistry r;
#define HPDLF_OP_FAMILY(family) register_##family##_ops(r);
#include "base/op_families.def"
#undef HPDLF_OP_FAMILY
    return r;
  }();
  return registry;
}

Attrs complete_attrs(const OpSpec& spec, const Attrs& given) {
  Attrs complete;
  for (const auto& [name, value] : given.values()) {
    const AttrSpec& attr = find_attr(spec, name);
    AttrValue fitting = converted(value, attr.default_value);
    HPDLF_CHECK(fitting.index() == attr.default_value.index(),
                "attribute `{}` of {} must be {}, not {} ({})", name, spec.name,
                type_name(attr.default_value), type_name(value), to_string(value));
    complete.set(name, std::move(fitting));
  }
  for (const auto& attr : spec.attrs) {
    if (complete.has(attr.name)) continue;
    HPDLF_CHECK(!attr.required, "{} needs attribute `{}`: {}", spec.name, attr.name, attr.doc);
    complete.set(attr.name, attr.default_value);
  }
  return complete;
}

OpCall call_of(const Graph& graph, const Node& node) {
  OpCall call{.spec = node.spec, .attrs = &node.attrs, .inputs = {}, .outputs = {}};
  for (const auto id : node.inputs) call.inputs.push_back(graph.value(id).type);
  for (const auto id : node.outputs) call.outputs.push_back(graph.value(id).type);
  return call;
}

void same_as_first_input(OpCall& call) { call.outputs = {call.input(0)}; }

Cost streaming_cost(const OpCall& call, double flops_per_element) {
  Cost cost{.flops = flops_per_element * static_cast<double>(call.output(0).elements())};
  for (const auto& type : call.inputs) cost.bytes_read += static_cast<double>(type.bytes());
  for (const auto& type : call.outputs) cost.bytes_written += static_cast<double>(type.bytes());
  return cost;
}

Cost product_cost(const OpCall& call, double terms) {
  Cost cost = streaming_cost(call, 2 * terms);
  if (call.input(0).dtype == DType::bf16) cost.arithmetic = DType::bf16;
  return cost;
}

Cost cost_of(const OpCall& call) {
  return call.spec->cost != nullptr ? call.spec->cost(call) : streaming_cost(call, 1);
}

double nominal_effort(const OpCall& call) {
  constexpr double kFlopsPerByte = 10, kBf16Speed = 2;
  const Cost cost = cost_of(call);
  const double flops = cost.flops / (cost.arithmetic == DType::bf16 ? kBf16Speed : 1);
  return std::max(flops, kFlopsPerByte * (cost.bytes_read + cost.bytes_written));
}

std::string usual_letters(int rank) {
  constexpr std::string_view kLetters[] = {
      "",          "c",           "n c",           "n t c",          "n h w c",
      "n d h w c", "n a d h w c", "n a b d h w c", "n a b e d h w c"};
  HPDLF_CHECK(rank >= 0 && rank < static_cast<int>(std::size(kLetters)),
              "a tensor of {} dimensions; at most {} have names", rank, std::size(kLetters) - 1);
  return std::string(kLetters[rank]);
}

}  // namespace hpdlf::graph
