// The nets that are measured beside PyTorch: the same ones as in scripts/torch_bench.py, with loss, optimizer and data.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/ir.hpp"
#include "runtime/executor.hpp"
#include "train/optimizer.hpp"

namespace hpdlf::apps {

/// 0: what the net has in scripts/torch_bench.py.
struct BenchSize {
  std::int64_t size = 0;   ///< voxels along each axis, or where those differ the last
  std::int64_t batch = 0;  ///< samples
  std::int64_t seq = 0;    ///< tokens of a sequence
};

/// A net with its loss, before differentiation and passes, and what one of its training steps needs.
struct BenchNet {
  std::shared_ptr<graph::Graph> graph;
  graph::ValueId loss = graph::kNone;  ///< fetched as "loss"
  train::OptimizerOptions optimizer;
  double learning_rate = 0;
  std::map<std::string, runtime::HostTensorPtr> inputs;  ///< by name; the optimizer's are not here
  BenchSize size;                                        ///< as built
};

/// @throws Error for an unknown name (nearest named) or a size that the net cannot have.
[[nodiscard]] BenchNet make_bench_net(const std::string& name, const BenchSize& size);

struct BenchNetInfo {
  std::string name, doc;
};
[[nodiscard]] std::vector<BenchNetInfo> bench_nets();

}  // namespace hpdlf::apps
