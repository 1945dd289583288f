// What nodes wait for that could run long before they are needed.
//
// A node that reads parameters only (transformed weights) is ready when the step begins, one of the backward pass that reads no gradient (what
// is computed a second time) while the forward pass runs. An idle worker would take it, and its result then only takes memory. So it waits
// for what its reader reads beside it. Nodes that read parameters only begin a little earlier, so that others hide their work.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "graph/ir.hpp"

namespace hpdlf::partition {

/// [NodeId] For NodePlan::after; kNone where a node is not to wait.
[[nodiscard]] std::vector<graph::ValueId> awaited_values(const graph::Graph& graph);

}  // namespace hpdlf::partition
