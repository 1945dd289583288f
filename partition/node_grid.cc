#include "partition/node_grid.hpp"

#include "partition/kernel_call.hpp"

namespace hpdlf::partition {

std::size_t checked_tiles(const graph::Node& node, const graph::TilingRule& rule,
                          const std::vector<int>& parts) {
  HPDLF_CHECK(parts.size() == rule.factors.size(),
              "the plan gives node \"{}\" ({}) {} part counts, its tiling rule has {} factors",
              node.name, node.spec->name, parts.size(), rule.factors.size());
  std::size_t tiles = 1;
  for (std::size_t f = 0; f < rule.factors.size(); ++f) {
    const auto& factor = rule.factors[f];
    const int count = parts[f];
    HPDLF_CHECK(count == 1 || factor.kind != graph::Factor::Kind::whole,
                "the plan cuts factor {} of node \"{}\" ({}) into {} parts, but it must stay whole",
                factor.letter, node.name, node.spec->name, count);
    HPDLF_CHECK(count == 1 || (count >= 1 && count <= factor.extent),
                "the plan cuts factor {} of node \"{}\" ({}) into {} parts, but its extent is {}",
                factor.letter, node.name, node.spec->name, count, factor.extent);
    tiles *= static_cast<std::size_t>(count);
  }
  return tiles;
}

namespace {

void check_owners(const graph::Node& node, std::size_t tiles, const NodePlan& plan, int ranks) {
  HPDLF_CHECK(plan.owners.size() == tiles, "the plan gives node \"{}\" ({}) {} owners for {} tiles",
              node.name, node.spec->name, plan.owners.size(), tiles);
  for (const int owner : plan.owners)
    HPDLF_CHECK(owner >= 0 && owner < ranks,
                "the plan gives a tile of node \"{}\" ({}) to rank {}, but there are {} ranks",
                node.name, node.spec->name, owner, ranks);
}

/// Region of the iteration space of tile `index`, row-major over the parts.
Box iteration_box(const graph::TilingRule& rule, const std::vector<int>& parts, std::size_t index) {
  Box box = rule.iteration_space();
  for (std::size_t f = parts.size(); f-- > 0;) {
    const auto count = static_cast<std::size_t>(parts[f]);
    const auto i = static_cast<std::int64_t>(index % count);
    index /= count;
    box.lo[static_cast<int>(f)] = cut(rule.factors[f].extent, parts[f], i);
    box.hi[static_cast<int>(f)] = cut(rule.factors[f].extent, parts[f], i + 1);
  }
  return box;
}

}  // namespace

NodeGrid make_grid(const graph::Graph& graph, const graph::Node& node, const NodePlan& plan,
                   int ranks) {
  const graph::OpCall call = graph::call_of(graph, node);
  NodeGrid grid{graph::tiling_rule(call), plan.owners, {}, {}, {}, plan.after};
  const auto& rule = grid.rule;
  check_owners(node, checked_tiles(node, rule, plan.parts), plan, ranks);
  HPDLF_ASSERT(
      rule.inputs.size() == node.inputs.size() && rule.outputs.size() == node.outputs.size(),
      "the tiling rule of {} names {} inputs and {} outputs, node \"{}\" has {} and {}",
      node.spec->name, rule.inputs.size(), rule.outputs.size(), node.name, node.inputs.size(),
      node.outputs.size());
  grid.inputs.resize(rule.inputs.size());
  grid.outputs.resize(rule.outputs.size());
  for (std::size_t t = 0; t < grid.tiles(); ++t) {
    grid.regions.push_back(iteration_box(rule, plan.parts, t));
    const KernelCall part = kernel_call(call, rule, grid.regions.back());
    for (std::size_t i = 0; i < rule.inputs.size(); ++i)
      grid.inputs[i].push_back(part.inputs[i].box);
    for (std::size_t o = 0; o < rule.outputs.size(); ++o)
      grid.outputs[o].push_back(part.outputs[o].box);
  }
  return grid;
}

}  // namespace hpdlf::partition
