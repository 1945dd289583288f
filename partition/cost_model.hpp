// Time of a task on a machine: roofline of the operator's features. Always finite and > 0.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "partition/machine.hpp"
#include "partition/task_graph.hpp"

namespace hpdlf::partition {

class CostModel {
 public:
  explicit CostModel(Machine machine) : machine_(std::move(machine)) {}
  [[nodiscard]] const Machine& machine() const { return machine_; }
  /// Seconds on one CPU worker (Transfer: on the link); >= 0.5e-6. max(flops / peak, bytes / bandwidth) + overhead of the call.
  [[nodiscard]] double seconds(const Task& task) const;

 private:
  Machine machine_;
};

}  // namespace hpdlf::partition
