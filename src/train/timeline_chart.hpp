// What each worker did during one step, as inline SVG: one row a worker, one bar a task, coloured by phase.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

namespace hpdlf::train {

struct WorkerSpan {
  int worker = 0;
  double start_us = 0, end_us = 0;
  std::string name;   ///< shown when the mouse rests on it
  std::string phase;  ///< "forward", ...: as graph::name_of(Phase)
};

/// CSS colour of a phase; grey for an unknown one.
[[nodiscard]] std::string phase_color(const std::string& phase);

/// A <figure>; empty if there are no spans. Times begin at the first span. Neighbours of one phase that are too thin to be
/// told apart are drawn as one, so that the size stays bounded.
[[nodiscard]] std::string render_timeline(const std::vector<WorkerSpan>& spans);

/// Share of the time between first start and last end that the workers were busy, 0 to 1; one worker or all (-1).
[[nodiscard]] double busy_share(const std::vector<WorkerSpan>& spans, int worker = -1);

}  // namespace hpdlf::train
