// The planner: chooses parts and owners for every node.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "partition/cost_model.hpp"
#include "partition/plan.hpp"

namespace hpdlf::partition {

/// What the user asks for.
///   "auto"                 fill the workers: candidates are simulated, the fastest that fits in memory is taken
///   "whole"                one tile a node (over the ranks: sample split)
///   "d:4", "d:2 h:2"       cut these factors everywhere they can be cut (letters as in the rules: n d h w c k ...)
///   "sample", "space", "channel"   n, the outermost space axis, or channels, into as many parts as there are workers in all
///   "tensor"               channels, too, but those of inputs where outputs would have to be put together (Megatron-LM's cuts)
/// Nodes too small for the asked parts get fewer (a tile keeps at least one index a factor).
struct PlanRequest {
  std::string strategy = "auto";
};

/// What PlanRequest::strategy may name besides "auto".
[[nodiscard]] std::vector<std::string> strategy_names();
/// What can be said of PlanRequest::strategy before anything is measured. @throws Error for a text that is no strategy of any net.
void check_strategy(const std::string& text);

/// @throws Error for an unknown strategy text, or if no plan fits machine.memory_bytes (says how much is missing and what would fit).
[[nodiscard]] Plan make_plan(const std::shared_ptr<const graph::Graph>& graph,
                             const CostModel& model, const PlanRequest& request);

}  // namespace hpdlf::partition
