#include "partition/cost_model.hpp"

#include <algorithm>
#include <map>

namespace hpdlf::partition {
namespace {

/// Of the calls that are measured, where arithmetic or memory bounds them: outer axes beyond that only repeat what a kernel does.
constexpr double kComputingSeconds = 3e-3, kStreamingSeconds = 1e-3;

}  // namespace

CostModel CostModel::without_memory_limit() const {
  CostModel model = *this;
  model.machine_.memory_bytes = 0;
  return model;
}

double CostModel::computing(const graph::Cost& cost) const {
  return cost.flops / (machine_.gflops(cost.arithmetic) * 1e9);
}

double CostModel::roofline(const graph::Cost& cost) const {
  const double streaming = (cost.bytes_read + cost.bytes_written) / (machine_.gbytes_per_s * 1e9);
  return std::max(computing(cost), streaming);
}

double CostModel::seconds(const Task& task) const {
  constexpr double kShortest = 0.5e-6;  // schedulers take 0 for "unknown"
  if (task.to_rank >= 0) {
    const double sending = task.cost.bytes_read / (machine_.link_gbytes_per_s * 1e9);
    return std::max(kShortest, machine_.link_latency_us * 1e-6 + sending);
  }
  return std::max(kShortest,
                  task.slowness * roofline(task.cost) + machine_.task_overhead_us * 1e-6);
}

double CostModel::seconds(const graph::OpCall& call) const {
  const graph::TilingRule rule = graph::tiling_rule(call);
  return slowness(call, rule, rule.iteration_space()) * roofline(graph::cost_of(call));
}

double CostModel::slowness(const graph::OpCall& call, const graph::TilingRule& rule,
                           const Box& region) const {
  if (times_ == nullptr) return 1;
  const auto cost = [&](const Box& part) { return cost_of(kernel_call(call, rule, part)); };
  const graph::Cost whole = cost(region);
  const bool computes = computing(whole) >= roofline(whole);
  const Box sample = sample_of(
      rule, region, [&](const Box& part) { return roofline(cost(part)); },
      computes ? kComputingSeconds : kStreamingSeconds);
  const KernelCall measured = kernel_call(call, rule, sample);
  const double expected = roofline(cost_of(measured));
  if (!(expected > 0)) return 1;
  const auto found = times_->seconds(measured);
  return found ? *found / expected : 1;
}

void set_slowness(TaskGraph& graph, const CostModel& model) {
  if (!model.has_times()) return;
  graph::NodeId node = graph::kNone;
  graph::OpCall call;
  graph::TilingRule rule;
  std::map<std::string, double> known;  // of the node, by the extents of the region
  for (Task& task : graph.tasks) {
    if (task.node == graph::kNone || task.region.rank() == 0) continue;
    if (task.node != node) {
      node = task.node;
      call = graph::call_of(*graph.graph, graph.graph->node(node));
      rule = graph::tiling_rule(call);
      known.clear();
    }
    const std::string key = to_string(task.region.extents());
    auto found = known.find(key);
    if (found == known.end())
      found = known.emplace(key, model.slowness(call, rule, task.region)).first;
    task.slowness = found->second;
  }
}

}  // namespace hpdlf::partition
