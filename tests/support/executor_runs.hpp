// Runs of the executor that must equal the task oracle's, bit for bit: both call the same kernels on the same tiles.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>

#include "partition/task_graph.hpp"
#include "runtime/session.hpp"

namespace hpdlf::test {

/// `graph` cut as `strategy` says, for the session's ranks and workers, with priorities.
[[nodiscard]] std::shared_ptr<const partition::TaskGraph> tasks_for(
    const runtime::Session& session, const std::shared_ptr<const graph::Graph>& graph,
    const std::string& strategy);

/// The same with as many results computed twice as lower the peak.
[[nodiscard]] std::shared_ptr<const partition::TaskGraph> recomputing_tasks_for(
    const runtime::Session& session, const std::shared_ptr<const graph::Graph>& graph,
    const std::string& strategy);

/// Trains some steps on StarPU and on the oracle and expects equal fetches, parameters and state on this rank. Collective.
void expect_run_of_oracle(runtime::Session& session,
                          const std::shared_ptr<const partition::TaskGraph>& tasks);
void expect_run_of_oracle(runtime::Session& session,
                          const std::shared_ptr<const graph::Graph>& graph,
                          const std::string& strategy);

}  // namespace hpdlf::test
