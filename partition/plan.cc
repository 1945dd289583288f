#include "partition/plan.hpp"

#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>

#include "graph/op_spec.hpp"
#include "partition/node_grid.hpp"

namespace hpdlf::partition {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "hpdlf-plan";

std::string fingerprint_of(const graph::Graph& graph) {
  return fmt::format("{:016x}", graph.fingerprint());
}

graph::TilingRule rule_of(const graph::Graph& graph, const graph::Node& node) {
  return graph::tiling_rule(graph::call_of(graph, node));
}

/// {"name": "conv1", "op": "Conv", "parts": {"d": 4}, "owners": [0, 0, 1, 1]}; factors that are not cut are left out, and
/// owners if rank 0 has all.
Json node_to_json(const graph::Graph& graph, const graph::Node& node, const NodePlan& plan) {
  Json json{{"name", node.name}, {"op", node.spec->name}, {"parts", Json::object()}};
  const auto rule = rule_of(graph, node);
  for (std::size_t f = 0; f < plan.parts.size(); ++f)
    if (plan.parts[f] != 1) json["parts"][std::string(1, rule.factors[f].letter)] = plan.parts[f];
  for (const int owner : plan.owners)
    if (owner != 0) {
      json["owners"] = plan.owners;
      break;
    }
  if (plan.after != graph::kNone) json["after"] = graph.value(plan.after).name;
  return json;
}

/// @param what it counts, for the message
int count_from_json(const Json& json, const std::string& what) {
  const std::int64_t count = json.is_number_integer() ? json.get<std::int64_t>() : 0;
  HPDLF_CHECK(count >= 1 && count <= std::numeric_limits<int>::max(),
              "{} is {}; it must be a whole number, 1 or more", what, json.dump());
  return static_cast<int>(count);
}

NodePlan node_from_json(const Json& json, const graph::Graph& graph, const graph::Node& node) {
  HPDLF_CHECK(json.at("name") == node.name, "node \"{}\" is expected where \"{}\" stands",
              node.name, json.at("name").get<std::string>());
  const auto rule = rule_of(graph, node);
  NodePlan plan;
  plan.parts.assign(rule.factors.size(), 1);
  for (const auto& [letter, parts] : json.at("parts").items()) {
    const int factor = letter.size() == 1 ? rule.find(letter[0]) : -1;
    HPDLF_CHECK(factor >= 0, "node \"{}\" ({}) has no factor \"{}\"", node.name, node.spec->name,
                letter);
    plan.parts[static_cast<std::size_t>(factor)] =
        count_from_json(parts, fmt::format("the number of parts of factor {} of node \"{}\" ({})",
                                           letter, node.name, node.spec->name));
  }
  const std::size_t tiles = checked_tiles(node, rule, plan.parts);
  plan.owners =
      json.contains("owners") ? json["owners"].get<std::vector<int>>() : std::vector<int>(tiles, 0);
  if (json.contains("after")) plan.after = graph.find(json["after"].get<std::string>());
  return plan;
}

}  // namespace

std::string to_json(const Plan& plan, const graph::Graph& graph) {
  HPDLF_ASSERT(plan.nodes.size() == graph.nodes().size(), "a plan of {} nodes for a graph of {}",
               plan.nodes.size(), graph.nodes().size());
  const Json head{{"format", kFormat},       {"version", Plan::kVersion},
                  {"graph", graph.name()},   {"fingerprint", plan.graph_fingerprint},
                  {"machine", plan.machine}, {"strategy", plan.strategy},
                  {"reason", plan.reason},   {"ranks", plan.ranks},
                  {"workers", plan.workers}, {"recomputed", plan.recomputed}};
  std::string text = head.dump(2);
  text.resize(text.rfind('\n'));
  text += ",\n  \"nodes\": [";
  for (std::size_t n = 0; n < plan.nodes.size(); ++n)  // a line each: that is what people compare
    text += (n > 0 ? ",\n    " : "\n    ") +
            node_to_json(graph, graph.nodes()[n], plan.nodes[n]).dump();
  return text + "\n  ]\n}\n";
}

Plan plan_from_json(std::string_view text, const graph::Graph& graph) {
  Plan plan;
  try {
    const Json json = Json::parse(text);
    HPDLF_CHECK(json.is_object() && json.value("format", "") == kFormat,
                "the text is no plan: \"format\" must be \"{}\"", kFormat);
    HPDLF_CHECK(json.at("version") == Plan::kVersion,
                "the plan has version {}, this program reads version {}",
                json.at("version").get<int>(), Plan::kVersion);
    plan.graph_fingerprint = json.at("fingerprint");
    HPDLF_CHECK(plan.graph_fingerprint == fingerprint_of(graph),
                "the plan is for another graph: {} ({}), this one is {} ({})",
                plan.graph_fingerprint, json.at("graph").get<std::string>(), fingerprint_of(graph),
                graph.name());
    plan.machine = json.at("machine");
    plan.strategy = json.at("strategy");
    plan.reason = json.at("reason");
    plan.ranks = count_from_json(json.at("ranks"), "\"ranks\"");
    plan.workers = count_from_json(json.at("workers"), "\"workers\"");
    plan.recomputed = json.value("recomputed", plan.recomputed);  // plans of before have none
    const Json& nodes = json.at("nodes");
    HPDLF_CHECK(nodes.size() == graph.nodes().size(), "the plan covers {} nodes, the graph has {}",
                nodes.size(), graph.nodes().size());
    for (std::size_t n = 0; n < nodes.size(); ++n)
      plan.nodes.push_back(node_from_json(nodes[n], graph, graph.nodes()[n]));
  } catch (const Json::exception& error) {
    throw Error(fmt::format("the text is no plan: {}", error.what()));
  } catch (Error& error) {
    error.add_context("reading a plan");
    throw;
  }
  return plan;
}

}  // namespace hpdlf::partition
