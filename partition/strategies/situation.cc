#include <algorithm>
#include <set>

#include "partition/strategies/strategy.hpp"

namespace hpdlf::partition {
namespace {

/// The first axis of d, h, w, t from position `from` that can be cut; kDataRoles.size() if there is none.
std::size_t find_axis(const Situation& s, std::size_t from) {
  while (from < kDataRoles.size() && s.extent(kDataRoles[from]) < 2) ++from;
  return from;
}

}  // namespace

std::int64_t Situation::extent(char role) const {
  const auto found = largest.find(role);
  return found == largest.end() ? 0 : found->second;
}

char Situation::outer_axis() const {
  const std::size_t i = find_axis(*this, 1);
  return i < kDataRoles.size() ? kDataRoles[i] : '\0';
}

char Situation::next_axis() const {
  const std::size_t i = find_axis(*this, find_axis(*this, 1) + 1);
  return i < kDataRoles.size() ? kDataRoles[i] : '\0';
}

Situation look_at(const graph::Graph& graph, const std::vector<NodeFactors>& factors,
                  const Machine& machine) {
  Situation s{graph, factors, machine.ranks, machine.workers, {}};
  std::set<graph::NodeId>
      updates;  // they follow the readers of their parameters, whatever is wished
  for (const auto& [state, content] : graph.updates())
    if (graph.value(state).role == graph::Role::parameter)
      updates.insert(graph.value(content).producer);
  for (std::size_t n = 0; n < factors.size(); ++n) {
    if (updates.count(static_cast<graph::NodeId>(n)) > 0) continue;
    for (std::size_t f = 0; f < factors[n].roles.size(); ++f) {
      const auto& factor = factors[n].rule.factors[f];
      const char role = factors[n].roles[f];
      if (factor.kind == graph::Factor::Kind::whole || role == kNoRole) continue;
      std::int64_t& extent = s.largest[role];
      extent = std::max(extent, factor.extent);
    }
  }
  return s;
}

}  // namespace hpdlf::partition
