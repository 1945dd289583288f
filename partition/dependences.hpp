// Which task waits for which: what follows from the order of the tasks and their access modes, tile by tile.
//
// A reader waits for the last writer, a writer for the last writer and every reader since: what StarPU derives from the same sequence.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "partition/task_graph.hpp"

namespace hpdlf::partition {

class Dependences {
 public:
  explicit Dependences(const TaskGraph& graph);
  [[nodiscard]] std::span<const TaskId> successors(std::size_t task) const {
    return {edges_.data() + begin_[task], edges_.data() + begin_[task + 1]};
  }
  /// Number of tasks that must end before `task` starts.
  [[nodiscard]] int predecessors(std::size_t task) const { return predecessors_[task]; }

 private:
  std::vector<std::size_t> begin_;
  std::vector<TaskId> edges_;
  std::vector<int> predecessors_;
};

}  // namespace hpdlf::partition
