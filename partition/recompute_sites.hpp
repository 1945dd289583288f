// Where a step could compute something again to hold less at its peak.
//
// A result that is kept over the peak, read before and after it but not during, need not be kept if what follows the peak reads a copy that
// is computed then. Everything is read off the simulated step: which tiles are alive at the peak, and what of them is idle.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "graph/passes/pass.hpp"
#include "partition/cost_model.hpp"
#include "partition/simulator.hpp"

namespace hpdlf::partition {

struct SiteOffer {
  graph::RecomputeSite site;
  std::int64_t bytes = 0;  ///< less at the peak, if the step otherwise stays as it is
  double seconds = 0;      ///< of work more, over all workers
  [[nodiscard]] double worth() const { return static_cast<double>(bytes) / seconds; }
};

/// What lowers the peak of the fullest rank by at least `least_bytes`, the most bytes a second first; ties in order of the graph.
[[nodiscard]] std::vector<SiteOffer> recompute_offers(const TaskGraph& tasks,
                                                      const Prediction& prediction,
                                                      const CostModel& model,
                                                      std::int64_t least_bytes);

}  // namespace hpdlf::partition
