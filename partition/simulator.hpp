// Event-driven replay of a task graph on a machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "partition/cost_model.hpp"
#include "partition/task_graph.hpp"

namespace hpdlf::partition {

struct Prediction {
  double seconds =
      0;  ///< of one step on its own: what the next step's head gains in its tail is not counted
  std::vector<double> busy;              ///< [rank * workers + worker], seconds in tasks
  std::vector<std::int64_t> peak_bytes;  ///< [rank]: tiles alive at once, persistent ones included
  std::vector<std::int64_t> kept_bytes;  ///< [rank]: persistent ones, whatever the step does
  std::vector<double> peak_at;           ///< [rank]: seconds from the start of the step
  std::vector<double> start, finish;     ///< [task]
  std::int64_t transferred_bytes = 0;    ///< over all links
};

/// List scheduling as StarPU's prio does it: a worker that is idle takes the ready task of highest priority. A rank sends one Transfer at a
/// time. A tile is there from the start of its first task to the end of its last. Memory limits are not enforced.
/// Cost: O((tasks + edges) log tasks).
[[nodiscard]] Prediction simulate(const TaskGraph& graph, const CostModel& model);

/// So many tasks run at once on one rank for half of the step or longer (the rank with most): workers beyond have nothing to do for
/// most of it.
[[nodiscard]] int useful_workers(const TaskGraph& graph, const Prediction& prediction);

}  // namespace hpdlf::partition
