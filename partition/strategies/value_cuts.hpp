// How values come to be cut while a plan is made, and which channels of a node to cut so that little has to be moved.
//
// A layer whose outputs are cut is best followed by one that is cut along its inputs: each part then reads what is there already, and the
// partial sums are smaller than the copies would be. For a Transformer this gives the cuts of Megatron-LM (Shoeybi et al., 2019,
// arXiv:1909.08053, section 3), forward and backward, from the sizes of the operands alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "partition/factor_roles.hpp"

namespace hpdlf::partition {

class ValueCuts {
 public:
  explicit ValueCuts(const graph::Graph& graph) : graph_(graph), cuts_(graph.values().size()) {}

  /// The factor to cut into `wanted` parts: of NodeFactors::channel() and those along which an operand is cut already the one that moves
  /// the fewest bytes; -1 if there is none. @param parts of the other factors
  [[nodiscard]] int cheapest_channel(const graph::Node& node, const NodeFactors& factors,
                                     const std::vector<int>& parts, int wanted) const;
  /// The node is cut into `parts`: its results are, and parameters that it is the first to read.
  void note(const graph::Node& node, const NodeFactors& factors, const std::vector<int>& parts);

 private:
  using Parts = std::vector<int>;  // a dimension
  [[nodiscard]] bool is_cut_along(const graph::Node& node, const NodeFactors& factors,
                                  int factor) const;
  [[nodiscard]] double moved_bytes(const graph::Node& node, const NodeFactors& factors,
                                   const std::vector<int>& parts) const;

  const graph::Graph& graph_;
  std::vector<Parts> cuts_;  // [ValueId]; empty: it is there in whatever parts are read
};

}  // namespace hpdlf::partition
