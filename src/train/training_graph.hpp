// From a network with its loss to the graph of a whole training step: one sequence of passes for every network.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "graph/passes/pass.hpp"
#include "train/optimizer.hpp"

namespace hpdlf::train {

/// Appends backward and optimizer to the graph whose scalar `loss` is given, with all graph passes applied.
/// @param dtype of activations and products: f32 or bf16 (graph::use_bf16); parameters and optimizer state are f32
void complete_training_graph(graph::Graph& graph, graph::ValueId loss,
                             const OptimizerOptions& optimizer, const graph::Optimization& how = {},
                             DType dtype = DType::f32);

}  // namespace hpdlf::train
