// Outputs to which several tiles of a node add (a summed factor is cut): who writes where, and the sums afterwards.
//
// The tiles of one rank that write the same region form at most `lanes` chains; the tiles of a chain add to one partial tile one after
// the other, chains run in parallel. A kernel that cannot accumulate has a chain of its own. The partials are then summed in a
// fixed order, the owner's first, other ranks in ascending order: the result does not depend on which worker was faster.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "partition/movement.hpp"

namespace hpdlf::partition {

/// Where one iteration tile writes one output.
struct OutputTarget {
  TileId tile = -1;
  Box box;
  bool accumulate = false;  ///< an earlier tile of the chain (or the accumulated value) is there
};

/// What is summed into one piece once all tiles have run.
struct PieceSum {
  Box box;
  struct RankPartials {
    int rank;
    std::vector<TileId> tiles;
  };
  std::vector<RankPartials> partials;  ///< the owner's first, its first tile is the piece's own
};

struct OutputTargets {
  std::vector<OutputTarget> targets;  ///< [iteration tile]
  std::vector<PieceSum> sums;
};

struct OutputRequest {
  const std::vector<Piece>& pieces;
  const std::vector<Box>& boxes;  ///< [iteration tile]
  const std::vector<int>& ranks;  ///< [iteration tile]
  bool can_accumulate = false;    ///< the kernel can add to this output
  bool has_base = false;          ///< the piece already holds Node::accumulate
  int lanes = 1;                  ///< chains a rank
};
[[nodiscard]] OutputTargets assign_targets(const OutputRequest& request, TaskWriter& writer,
                                           const TaskGraph& graph);

/// Adds the tasks that sum the partials.
void write_sums(const std::vector<PieceSum>& sums, TaskWriter& writer);

}  // namespace hpdlf::partition
