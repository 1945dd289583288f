// Bytes of tiles that a step holds at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "partition/task_graph.hpp"

namespace hpdlf::partition {

/// Follows the tiles that are alive on each rank.
class MemoryMeter {
 public:
  /// Tiles kept between steps are there from the start.
  explicit MemoryMeter(const TaskGraph& graph);
  /// To be called as tasks start and end, in any order that respects their dependences.
  void start(const Task& task);
  void end(const Task& task);
  [[nodiscard]] const std::vector<std::int64_t>& peak_bytes() const { return peak_; }  ///< [rank]

 private:
  void end_use(TileId tile);

  const TaskGraph& graph_;
  std::vector<int> users_left_;  // [tile] accesses that have not ended
  std::vector<bool> alive_;      // [tile]
  std::vector<std::int64_t> now_, peak_;
};

struct MemoryUse {
  std::int64_t kept = 0;  ///< parameters, state, constants
  std::int64_t peak = 0;  ///< with the tasks run one after the other, in their order
};
[[nodiscard]] std::vector<MemoryUse> sequential_memory(const TaskGraph& graph);  ///< [rank]

}  // namespace hpdlf::partition
