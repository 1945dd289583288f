// Graph passes: rewrites that keep what a graph computes. Each is one function in the file of its name.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {

/// What may be traded for speed: `fast` takes algorithms whose rounding errors are of the order of the direct ones' (Winograd), `strict`
/// only sums of products as they are written down.
enum class Math : std::uint8_t { fast, strict };
/// @throws Error naming the nearest.
[[nodiscard]] Math math_from(const std::string& name);

struct Optimization {
  Math math = Math::fast;
  Effort effort =
      nominal_effort;  ///< of algorithms that do the same: as measured, where it is known
};
/// The passes that every finished graph goes through, training or inference: run it when gradients, updates and fetches are there.
void optimize(Graph& graph, const Optimization& how = {});

/// Removes nodes whose results reach neither an update nor a fetch. Run it when those are bound: before, everything is dead.
void eliminate_dead_nodes(Graph& graph);

/// Conv(Concat(a, b, ...), w) -> Conv(a, part of w) + Conv(b, part of w) + ..., each adding to the one before in place, so that the
/// concatenation is never written to memory. Convolutions of one group and concatenations of channels only; the bias stays with the
/// first part, and the last one defines the value that the Conv defined. A Concat that nothing else reads is removed.
/// Run before differentiate(): the gradients then are those of the parts.
void split_concat_conv(Graph& graph);

/// Training in bf16 (docs/adr/0008): products, and operators that read their results, take bf16 and give bf16, as far as OpSpec::bf16_inputs
/// says. Parameters, states, statistics and losses stay f32 or f64; what is fetched or updated keeps its type. A Cast stands where the
/// types of writer and reader differ. Run before differentiate(): gradients then are bf16 too, those of parameters f32.
void use_bf16(Graph& graph);

/// Conv, ConvGradInput and ConvGradWeight of 3x3 in H and W, stride 1 -> Winograd's F(4x4, 3x3) or F(4x4x4, 3x3x3), whichever takes
/// the least effort: a quarter or an eighth of the multiplications, but transformed weights are four or eight times the size; with a stride
/// of 2 ConvGradInput only, nine sixteenths and eleven times. It
/// computes in f32 whatever the activations are, from the weights that a Cast to bf16 reads. Rounding errors stay of the order of the
/// direct algorithm's (docs/adr/0007), for which the forward pass in f32 takes the first only. Run after differentiate(): the operators have no gradients of their own.
void use_winograd(Graph& graph, const Effort& effort = nominal_effort);

/// A Normalize (with its activation) that only Winograd convolutions and their weight gradients read is dropped: they normalise what they
/// read, so the normalised tensor is never stored. Run after use_winograd().
void fuse_normalize(Graph& graph);

/// The first outputs of a node and of its copy.
struct NodeCopy {
  ValueId original, copy;
};
/// Where to compute something again: the results of node `producer`, just before node `reader`.
struct RecomputeSite {
  NodeId producer, reader;
  int depth = 0;  ///< how many nodes back what is read then may be computed again, too
};

/// The nodes that recompute() copies: `producer`, what its sum begins with, and up to `depth` nodes back those whose results nobody reads
/// at `reader` or after it. In order.
[[nodiscard]] std::vector<NodeId> nodes_to_recompute(const Graph& graph, const RecomputeSite& site);
/// Lets node `reader` and all later ones read copies, so that the originals need not be kept until then. A copy is of phase backward and of
/// its original's layer, and computes the same bits: random operators are keyed by their attributes. Updates and fetches stay with the
/// originals. Run after optimize(). @returns the copies, in order
std::vector<NodeCopy> recompute(Graph& graph, const RecomputeSite& site);

}  // namespace hpdlf::graph
