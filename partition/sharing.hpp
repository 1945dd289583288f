// Which values live in the tiles of another value: states updated in place, elementwise results in place of their input.
//
// Sharing is decided for whole values: piece i of the one is piece i of the other, same region, same rank. It is legal only if no task
// that reads the old content comes after one that writes the new.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "partition/value_layout.hpp"

namespace hpdlf::partition {

/// [ValueId] the earlier value in whose tiles the value lives, else kNone. A shared tile is as large as the widest margin asks for.
[[nodiscard]] std::vector<graph::ValueId> plan_sharing(const CutGraph& cut,
                                                       const std::vector<ValueLayout>& layouts);

}  // namespace hpdlf::partition
