// What the factors of every node stand for in the data: sample, space, sequence or something else.
//
// Rules name factors from the operator's point of view: the rows of a MatMul are `m`, whether they are samples or tokens. Strategies speak
// of the data: "cut the samples". So the letters of the graph's inputs (n d h w c, n h w c, n t c, n c) are carried along the values:
// a factor that runs along a dimension labelled n, d, h, w or t gets that role, whatever the rule calls it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>
#include <vector>

#include "graph/ir.hpp"
#include "graph/tiling_rule.hpp"

namespace hpdlf::partition {

/// Roles that come from the data, outermost first.
inline constexpr std::string_view kDataRoles = "ndhwt";
/// Of a factor that no strategy speaks of.
inline constexpr char kNoRole = '\0';

struct NodeFactors {
  graph::TilingRule rule;
  std::vector<char> roles;  ///< [factor]; one of kDataRoles, else the rule's letter, or kNoRole

  /// The factor to cut where channels are: one along the channels of output 0 that gives no partial sums, else a summed `k` (the words
  /// of a vocabulary, whose sums are a number a token), else -1.
  [[nodiscard]] int channel() const;
  [[nodiscard]] bool is_data(int factor) const {
    return kDataRoles.find(roles[static_cast<std::size_t>(factor)]) != std::string_view::npos;
  }
};
[[nodiscard]] std::vector<NodeFactors> factor_roles(const graph::Graph& graph);  ///< [NodeId]

}  // namespace hpdlf::partition
