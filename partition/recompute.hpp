// Memory for time: which results a step computes twice instead of keeping them.
//
// Greedy on the simulator: at the peak of the simulated step, what saves the most bytes a second is computed again, until time or offers run
// out. A copy takes the cut of its original, so it computes the same bits from the same tiles. See docs/adr/0009-recompute.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "partition/cost_model.hpp"
#include "partition/plan.hpp"

namespace hpdlf::partition {

enum class Recompute : std::uint8_t { off, automatic };
/// "off" or "auto". @throws Error naming the nearest.
[[nodiscard]] Recompute recompute_from(const std::string& name);

struct RecomputeRequest {
  /// Times the predicted step without; a step that does not fit into machine.memory_bytes may take longer.
  double most_time = 1.15;
  std::int64_t enough_bytes = 0;  ///< a rank need not hold less; 0: as little as the time allows
};

struct Recomputation {
  std::shared_ptr<const graph::Graph> graph;  ///< values of the given one keep their ids
  Plan plan;                                  ///< `reason` says what is computed again and why
  std::int64_t peak_bytes = 0;                ///< of the fullest rank
  double seconds = 0;                         ///< of a step
};

/// @param plan covers every node of `graph`, a training graph with all other passes applied.
[[nodiscard]] Recomputation save_memory(const std::shared_ptr<const graph::Graph>& graph,
                                        const Plan& plan, const CostModel& model,
                                        const RecomputeRequest& request);

}  // namespace hpdlf::partition
