// What a strategy is: a wish of how many parts each role of the data gets, the same for every node. apply() makes it a plan.
//
// A role's parts follow from the extents of a node only, so neighbours of one level of a net always agree and nothing is resharded
// inside a level. Levels too thin for the wish get fewer parts; what is missing may be made up by cutting channels.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "partition/factor_roles.hpp"
#include "partition/machine.hpp"
#include "partition/plan.hpp"

namespace hpdlf::partition {

struct Cutting {
  std::string name;           ///< "d:4"
  std::map<char, int> parts;  ///< by role
  int channels = 1;           ///< parts of each node's output channels
  int thickness = 1;          ///< a part of a space axis has at least so many planes ...
  bool follow =
      false;       ///< channels that operands are cut along already, where that moves fewer bytes
  int refill = 1;  ///< ... and a node with fewer tiles than this because of that, or because an
                   ///< axis of the data must stay whole, has its channels cut too

  /// Whether the user may ask for it by its name.
  [[nodiscard]] bool has_text() const { return thickness == 1 && refill == 1; }
};

/// What strategies look at.
struct Situation {
  const graph::Graph& graph;
  const std::vector<NodeFactors>& factors;
  int ranks, workers;
  std::map<char, std::int64_t>
      largest;  ///< role -> its largest extent over the graph, if it can be cut

  /// The outermost axis of the data that is not the sample: d, h, w or t; 0 if there is none.
  [[nodiscard]] char outer_axis() const;
  [[nodiscard]] char next_axis() const;
  [[nodiscard]] std::int64_t extent(char role) const;
};
[[nodiscard]] Situation look_at(const graph::Graph& graph, const std::vector<NodeFactors>& factors,
                                const Machine& machine);

/// The plan that `cutting` makes of the graph. Tiles go to the ranks in blocks, samples and outer axes first; updates of parameters to
/// the rank with the fewest bytes of them so far.
[[nodiscard]] Plan apply(const Cutting& cutting, const Situation& situation);

/// A way to cut that has a name.
struct Strategy {
  std::string_view name;
  Cutting (*cutting)(const Situation& situation);
};
/// The one list of them. Of two whose steps take the same time the earlier is taken: the plainest first, `tensor` before `channel`, for it copies less.
[[nodiscard]] std::span<const Strategy> named_strategies();
[[nodiscard]] Cutting whole_cutting(const Situation& situation);
[[nodiscard]] Cutting sample_cutting(const Situation& situation);
[[nodiscard]] Cutting space_cutting(const Situation& situation);
[[nodiscard]] Cutting channel_cutting(const Situation& situation);
[[nodiscard]] Cutting tensor_cutting(const Situation& situation);
/// "d:4 h:2". @throws Error naming what is wrong with the text.
[[nodiscard]] Cutting explicit_cutting(const std::string& text, const Situation& situation);
/// What "auto" tries besides: slabs and blocks of several sizes, with channels where a level is thin.
[[nodiscard]] std::vector<Cutting> mixed_cuttings(const Situation& situation);

}  // namespace hpdlf::partition
