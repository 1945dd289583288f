// The plan: what the planner decides; everything else follows by lowering. Read and written as JSON (docs/plan_format.md).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "graph/ir.hpp"

namespace hpdlf::partition {

struct NodePlan {
  std::vector<int> parts;   ///< pieces a factor of the node's tiling rule, in the rule's order
  std::vector<int> owners;  ///< rank of each tile, row-major over the parts
  /// If set, a tile waits until the corresponding tile of this value is there (waits.hpp).
  graph::ValueId after = graph::kNone;
};

struct Plan {
  static constexpr int kVersion = 1;
  std::string graph_fingerprint;        ///< hex
  std::string machine;                  ///< name of the machine it was made for
  std::string strategy;                 ///< "auto", "d:4", ... as asked for
  std::string reason;                   ///< one line in words: why this plan
  int ranks = 1, workers = 1;           ///< workers a rank
  std::vector<NodePlan> nodes;          ///< index = graph::NodeId
  std::vector<std::string> recomputed;  ///< nodes of the graph that compute a value once more
};

[[nodiscard]] std::string to_json(const Plan& plan, const graph::Graph& graph);
/// @throws Error if the text is no plan, or one of another graph (both fingerprints named).
[[nodiscard]] Plan plan_from_json(std::string_view text, const graph::Graph& graph);

}  // namespace hpdlf::partition
