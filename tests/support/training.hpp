// Trains the fixture's small 3-D U-Net through the whole stack: graph, plan, lowering, StarPU.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "graph/ir.hpp"
#include "partition/task_graph.hpp"
#include "runtime/session.hpp"
#include "support/safetensors.hpp"

namespace hpdlf::test {

/// The training graph of tests/fixtures/unet3d_torch.safetensors: same net, loss and optimizer as scripts/make_torch_trace.py.
[[nodiscard]] std::shared_ptr<graph::Graph> fixture_training_graph(const Fixture& fixture);

struct TrainingRun {
  std::vector<double> losses;
  std::vector<std::byte> first_parameter;  ///< content of inp.0.0.weight at the end
  std::string plan_reason;
};

/// Trains `steps` steps from the fixture's weights on its batch, cut as `strategy` says. Collective over the session's ranks.
[[nodiscard]] TrainingRun train_fixture(runtime::Session& session, const Fixture& fixture, const std::string& strategy,
                                        int steps);

}  // namespace hpdlf::test
