// The task-graph oracle: runs the tasks of all ranks one after the other on plain arrays, without StarPU or MPI.
//
// Fresh tiles are filled with NaN (integers: a large number), so that what is read before it was written shows in the result.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <string_view>
#include <vector>

#include "base/tensor_view.hpp"
#include "partition/task_graph.hpp"
#include "support/oracle.hpp"

namespace hpdlf::test {

class TaskOracle {
 public:
  /// Fills parameters and state as Oracle does. Keeps a reference to `graph`.
  explicit TaskOracle(const partition::TaskGraph& graph, std::uint64_t seed = 0);

  void step(const std::map<graph::ValueId, Tensor>& inputs);

  /// A parameter or state, gathered from its home tiles.
  [[nodiscard]] Tensor read(graph::ValueId value) const;
  /// What the last step fetched under `name` on `rank`.
  [[nodiscard]] const Tensor& fetched(std::string_view name, int rank = 0) const;

 private:
  [[nodiscard]] TensorView view_of(const partition::Access& access);
  void run(const partition::Task& task, const std::map<graph::ValueId, Tensor>& inputs);
  void run_kernel_of(const partition::Task& task);

  const partition::TaskGraph& graph_;
  std::uint64_t seed_;
  std::int64_t step_ = 0;
  std::vector<std::vector<std::byte>> tiles_;           // [TileId]
  std::vector<std::map<graph::ValueId, Tensor>> host_;  // [rank] fetched values
};

}  // namespace hpdlf::test
