// Time of a task on a machine: as its kernel was measured, else the roofline of the operator's features. Always finite and > 0.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "partition/kernel_call.hpp"
#include "partition/machine.hpp"
#include "partition/task_graph.hpp"

namespace hpdlf::partition {

class CostModel {
 public:
  /// @param times  of the machine's kernels; nullptr: none is known
  explicit CostModel(Machine machine, std::shared_ptr<KernelTimes> times = nullptr)
      : machine_(std::move(machine)), times_(std::move(times)) {}
  [[nodiscard]] const Machine& machine() const { return machine_; }
  /// The same of a machine whose memory is not looked at.
  [[nodiscard]] CostModel without_memory_limit() const;
  [[nodiscard]] bool has_times() const { return times_ != nullptr; }
  /// The rooflines alone.
  [[nodiscard]] CostModel without_times() const { return CostModel(machine_); }

  /// Seconds on one CPU worker (Transfer: on the link); >= 0.5e-6: slowness * max(flops / peak, bytes / bandwidth) + overhead of the call.
  [[nodiscard]] double seconds(const Task& task) const;
  /// Seconds of all of a call on one CPU worker: what passes choose algorithms by.
  [[nodiscard]] double seconds(const graph::OpCall& call) const;
  /// Measured seconds over those of the roofline, of a call like this region of `call`; 1 where nothing is known.
  [[nodiscard]] double slowness(const graph::OpCall& call, const graph::TilingRule& rule,
                                const Box& region) const;

 private:
  [[nodiscard]] double computing(const graph::Cost& cost) const;
  [[nodiscard]] double roofline(const graph::Cost& cost) const;

  Machine machine_;
  std::shared_ptr<KernelTimes> times_;
};

/// Sets Task::slowness of every kernel.
void set_slowness(TaskGraph& graph, const CostModel& model);

}  // namespace hpdlf::partition
