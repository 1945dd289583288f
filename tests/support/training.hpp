// Trains the small net of a fixture, a 3-D U-Net or a GPT-2, through the whole stack: graph, plan, lowering, StarPU.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/ir.hpp"
#include "partition/task_graph.hpp"
#include "runtime/session.hpp"
#include "support/safetensors.hpp"

namespace hpdlf::test {

/// The training graph of a fixture that scripts/make_torch_trace.py or make_gpt2_trace.py made: the net, loss and optimizer that its metadata names.
[[nodiscard]] std::shared_ptr<graph::Graph> fixture_training_graph(const Fixture& fixture,
                                                                   DType dtype = DType::f32);

/// Losses of the untiled net, node by node on one thread, without StarPU.
[[nodiscard]] std::vector<double> oracle_losses(const Fixture& fixture, int steps);
/// Relative error |g - reference| / |reference| (norms) of each float64 gradient "grad.NAME" of the fixture, by name.
[[nodiscard]] std::map<std::string, double> oracle_gradient_errors(const Fixture& fixture);

struct TrainingRun {
  std::vector<double> losses;
  std::vector<std::byte> first_parameter;  ///< content of the first one at the end
  std::string plan_reason;
};

/// Trains `steps` steps from the fixture's weights on its batch, cut as `strategy` says. Collective over the session's ranks.
[[nodiscard]] TrainingRun train_fixture(runtime::Session& session, const Fixture& fixture,
                                        const std::string& strategy, int steps,
                                        DType dtype = DType::f32);

}  // namespace hpdlf::test
