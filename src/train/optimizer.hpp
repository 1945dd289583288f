// Optimizers as graph nodes: one update node a parameter, so that they are tiled, planned and overlapped like everything else.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "graph/autodiff.hpp"

namespace hpdlf::train {

struct OptimizerOptions {
  std::string name = "adamw";  ///< "adamw" | "sgd"
  double weight_decay = 0.01;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< adamw
  bool cycled_beta1 = false;  ///< adamw: beta1 is given every step (kBeta1Input)
  double momentum = 0.9;      ///< sgd
  bool nesterov = false;      ///< sgd
};

/// Names of the scalar inputs that every step must be given.
inline constexpr const char* kLearningRateInput = "learning_rate";  ///< f32
inline constexpr const char* kStepInput =
    "optimizer_step";                                ///< f32, 1 at the first update; adamw only
inline constexpr const char* kBeta1Input = "beta1";  ///< f32; adamw with cycled_beta1 only

/// Appends the update of every parameter in `gradients` (phase update) with its state NAME.exp_avg, NAME.exp_avg_sq or
/// NAME.momentum_buffer, zero at the start. @throws Error for an unknown optimizer (nearest named).
void add_optimizer(graph::Graph& graph, const std::vector<graph::Gradient>& gradients,
                   const OptimizerOptions& options);

}  // namespace hpdlf::train
