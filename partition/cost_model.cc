#include "partition/cost_model.hpp"

#include <algorithm>

namespace hpdlf::partition {

double CostModel::seconds(const Task& task) const {
  constexpr double kShortest = 0.5e-6;  // schedulers take 0 for "unknown"
  if (task.to_rank >= 0) {
    const double sending = task.cost.bytes_read / (machine_.link_gbytes_per_s * 1e9);
    return std::max(kShortest, machine_.link_latency_us * 1e-6 + sending);
  }
  const double computing = task.cost.flops / (machine_.gflops(task.cost.arithmetic) * 1e9);
  const double streaming =
      (task.cost.bytes_read + task.cost.bytes_written) / (machine_.gbytes_per_s * 1e9);
  return std::max(kShortest, std::max(computing, streaming) + machine_.task_overhead_us * 1e-6);
}

}  // namespace hpdlf::partition
