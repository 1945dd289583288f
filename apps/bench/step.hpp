// Times one training step of a net.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "apps/bench/nets.hpp"

namespace hpdlf::apps {

struct BenchRequest {
  std::string net;
  BenchSize size;
  std::string dtype = "f32";
  int threads = 0;  ///< workers; 0: one a core
  int steps = 5;    ///< timed, after two that are not
  std::string strategy = "auto", math = "fast", recompute = "off";
  bool by_layer = false;  ///< times of each layer's operators, not of each operator
};

/// Time of one operator over all workers in a median step.
struct OperatorTime {
  std::string op;
  std::string layer;  ///< "down.0.1.0.grad_weight": of which this is, or empty: of all
  std::int64_t tasks = 0;
  double ms = 0, predicted_ms = 0;
  double gflops = 0;  ///< of one worker: what the kernels are charged for / time
};

struct BenchResult {
  std::string net, dtype, machine, plan;
  BenchSize size;
  std::int64_t params = 0;
  int workers = 0;
  double first_step_s = 0, min_ms = 0, median_ms = 0;
  std::vector<double> losses;  ///< of all steps, the untimed ones too
  double gflops = 0;           ///< of all workers: direct_flops() / median time
  double peak_fraction = 0;    ///< of the calibrated peak of a worker times the workers
  double peak_rss_mib = 0, predicted_ms = 0, predicted_peak_mib = 0;
  std::int64_t tasks = 0;
  double us_per_task = 0;               ///< of the submitting thread
  std::vector<double> busy;             ///< [worker] share of the step
  std::vector<OperatorTime> operators;  ///< most time first
};

/// Plans the net and runs its steps one at a time, each from its submission to the end of its last task. Two warm up.
/// @throws Error for a bad request.
[[nodiscard]] BenchResult bench_step(const BenchRequest& request);

/// Floating-point operations of the convolutions and matrix products of a training step done directly, whatever algorithm runs:
/// twice the multiplications of forward, once more by each operand that a parameter reaches.
/// @param graph  the net with its loss, before differentiation and passes
[[nodiscard]] double direct_flops(const graph::Graph& graph);

}  // namespace hpdlf::apps
