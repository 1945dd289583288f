#include "partition/partial_sums.hpp"

#include <algorithm>
#include <map>

namespace hpdlf::partition {
namespace {

TileId add_partial(TileId like, const Box& box, int rank, TaskWriter& writer,
                   const TaskGraph& graph) {
  const Tile& tile = graph.tile(like);
  return writer.add_tile({.value = tile.value,
                          .box = box,
                          .storage = box,
                          .dtype = tile.dtype,
                          .owner = rank,
                          .role = Tile::Role::partial_sum});
}

using Contributors =
    std::map<int, std::vector<std::size_t>>;  // rank -> iteration tiles that write a piece

Contributors contributors(const Piece& piece, const OutputRequest& request) {
  Contributors by_rank;
  for (std::size_t t = 0; t < request.boxes.size(); ++t)
    if (request.boxes[t] == piece.box) by_rank[request.ranks[t]].push_back(t);
  return by_rank;
}

class TargetAssignment {
 public:
  TargetAssignment(const OutputRequest& request, TaskWriter& writer, const TaskGraph& graph)
      : request_(request), writer_(writer), graph_(graph) {
    for (const Piece& piece : request.pieces) {
      contributors_.push_back(contributors(piece, request));
      for (const auto& [rank, tiles] : contributors_.back()) ++pieces_on_[rank];
    }
    result_.targets.resize(request.boxes.size());
  }

  OutputTargets make() {
    for (std::size_t p = 0; p < request_.pieces.size(); ++p) {
      const Piece& piece = request_.pieces[p];
      PieceSum sum{piece.box, {}};
      for (const auto& [rank, tiles] : contributors_[p])
        sum.partials.push_back({rank, chain(piece, rank, tiles)});
      std::stable_partition(sum.partials.begin(), sum.partials.end(),
                            [&](const auto& r) { return r.rank == piece.rank; });
      if (sum.partials.size() > 1 || sum.partials.front().tiles.size() > 1)
        result_.sums.push_back(std::move(sum));
    }
    return std::move(result_);
  }

 private:
  /// Chains the tiles of one rank; returns the partial tile of each chain.
  std::vector<TileId> chain(const Piece& piece, int rank, const std::vector<std::size_t>& tiles) {
    std::vector<TileId> partials;
    const std::size_t chains = chains_on(rank, tiles.size());
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      const bool starts_chain =
          i < chains;  // tiles go round the chains: neighbours are ready at the same time
      const bool at_home = rank == piece.rank && i == 0;
      if (starts_chain)
        partials.push_back(at_home ? piece.tile
                                   : add_partial(piece.tile, piece.box, rank, writer_, graph_));
      result_.targets[tiles[i]] = {partials[i % chains], piece.box,
                                   !starts_chain || (at_home && request_.has_base)};
    }
    return partials;
  }

  /// As many as keep the workers busy, all pieces of the rank together.
  std::size_t chains_on(int rank, std::size_t tiles) const {
    if (!request_.can_accumulate) return tiles;
    const auto pieces = static_cast<std::size_t>(pieces_on_.at(rank));
    return std::min(tiles, (static_cast<std::size_t>(request_.lanes) + pieces - 1) / pieces);
  }

  const OutputRequest& request_;
  TaskWriter& writer_;
  const TaskGraph& graph_;
  std::vector<Contributors> contributors_;
  std::map<int, int> pieces_on_;
  OutputTargets result_;
};

}  // namespace

OutputTargets assign_targets(const OutputRequest& request, TaskWriter& writer,
                             const TaskGraph& graph) {
  return TargetAssignment(request, writer, graph).make();
}

void write_sums(const std::vector<PieceSum>& sums, TaskWriter& writer) {
  for (const PieceSum& sum : sums) {
    std::vector<TileId> terms = sum.partials.front().tiles;
    for (std::size_t r = 1; r < sum.partials.size(); ++r) {
      writer.sum(sum.partials[r].tiles, sum.box);
      terms.push_back(writer.send(sum.partials[r].tiles.front(), sum.partials.front().rank));
    }
    writer.sum(terms, sum.box);
  }
}

}  // namespace hpdlf::partition
