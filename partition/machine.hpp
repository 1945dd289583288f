// What the planner knows of the machine: ranks, workers, speeds, memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "base/dtype.hpp"

namespace hpdlf::partition {

/// All ranks alike, CPU workers of one core each (other devices add their own class here).
struct Machine {
  std::string name = "unknown";
  int ranks = 1;
  int workers = 1;         ///< a rank
  double gflops_f32 = 50;  ///< a core, in a heavy kernel, all cores busy
  double gflops_bf16 = 50;
  double gbytes_per_s = 10;      ///< a core, streaming, all cores busy
  double task_overhead_us = 6;   ///< scheduling one task
  double link_gbytes_per_s = 1;  ///< between ranks
  double link_latency_us = 20;
  std::int64_t memory_bytes = 0;  ///< a rank may use; 0: unknown

  [[nodiscard]] double gflops(DType dtype) const {
    return dtype == DType::bf16 ? gflops_bf16 : gflops_f32;
  }
};

}  // namespace hpdlf::partition
