// The tiles a plan cuts one node into: regions of its iteration space and of its operands.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "graph/op_spec.hpp"
#include "partition/plan.hpp"

namespace hpdlf::partition {

/// Into how many tiles so many parts of each factor cut a node. @throws Error if they cannot.
[[nodiscard]] std::size_t checked_tiles(const graph::Node& node, const graph::TilingRule& rule,
                                        const std::vector<int>& parts);

struct NodeGrid {
  graph::TilingRule rule;
  std::vector<int> ranks;    ///< [tile] who computes it; tiles row-major over the parts
  std::vector<Box> regions;  ///< [tile] region of the iteration space
  std::vector<std::vector<Box>> inputs,
      outputs;                          ///< [operand][tile] region that the tile reads or writes
  graph::ValueId after = graph::kNone;  ///< NodePlan::after
  [[nodiscard]] std::size_t tiles() const { return ranks.size(); }
};

/// @throws Error naming node and factor if `plan` cuts a factor that must stay whole, or into more parts than it has indices.
[[nodiscard]] NodeGrid make_grid(const graph::Graph& graph, const graph::Node& node,
                                 const NodePlan& plan, int ranks);

}  // namespace hpdlf::partition
