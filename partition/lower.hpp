// Lowering: graph x plan -> task graph of one step. Pure: no StarPU, no MPI, no machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "partition/plan.hpp"
#include "partition/task_graph.hpp"

namespace hpdlf::partition {

/// @param graph verified; @param plan covers every node of it.
/// Priorities are left 0: set_priorities() needs times. @throws Error if the plan cuts a factor that must stay whole (node and factor named).
[[nodiscard]] TaskGraph lower(std::shared_ptr<const graph::Graph> graph, const Plan& plan);

class CostModel;
/// The same with the times of `model`'s kernels, and with priorities.
[[nodiscard]] TaskGraph lower(std::shared_ptr<const graph::Graph> graph, const Plan& plan,
                              const CostModel& model);

/// Priority = upward rank (longest path to the end of the step, seconds of `model`), quantised to the lower half of kPriorityLevels. Tasks of
/// nodes after which much memory is free have the upper half, earlier ones first: nothing is gained by holding it.
void set_priorities(TaskGraph& graph, const CostModel& model);

}  // namespace hpdlf::partition
