// Graph passes: rewrites that keep what a graph computes. Each is one function in the file of its name.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "graph/ir.hpp"

namespace hpdlf::graph {

/// Removes nodes whose results reach neither an update nor a fetch. Run it when those are bound: before, everything is dead.
void eliminate_dead_nodes(Graph& graph);

/// Conv(Concat(a, b, ...), w) -> Conv(a, part of w) + Conv(b, part of w) + ..., each adding to the one before in place, so that the
/// concatenation is never written to memory. Convolutions of one group and concatenations of channels only; the bias stays with the
/// first part, and the last one defines the value that the Conv defined. A Concat that nothing else reads is removed.
/// Run before differentiate(): the gradients then are those of the parts.
void split_concat_conv(Graph& graph);

}  // namespace hpdlf::graph
