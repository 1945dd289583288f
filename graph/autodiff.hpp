// Reverse-mode differentiation of a graph.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "graph/ir.hpp"

namespace hpdlf::graph {

struct Gradient {
  ValueId parameter, gradient;
};

/// Appends the backward nodes of scalar `loss` to `graph` and returns the gradient of each parameter that the loss depends on,
/// in the order of the parameters; gradients are nodes of phase backward. A value with several readers has its contributions added in order of the reverse sweep, by the
/// accumulating form of the later operator where its spec has one, else by Add.
/// @throws Error naming the node if the path to a parameter leads through an operator without gradient.
[[nodiscard]] std::vector<Gradient> differentiate(Graph& graph, ValueId loss);
/// The same for chosen values (tests: gradients by inputs).
[[nodiscard]] std::vector<Gradient> differentiate(Graph& graph, ValueId loss,
                                                  const std::vector<ValueId>& by);

/// `value` with the gradient of some scalar by it: where a reverse sweep starts.
struct Seed {
  ValueId value, gradient;
};
/// Vector-Jacobian product: gradients of sum over seeds of <value, gradient> by the values `by`.
[[nodiscard]] std::vector<Gradient> differentiate(Graph& graph, const std::vector<Seed>& seeds,
                                                  const std::vector<ValueId>& by);

}  // namespace hpdlf::graph
