// Initial content of parameters and state: a number depends on seed, name and index only, never on the tiling or the rank.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "graph/ir.hpp"

namespace hpdlf::graph {

/// Fills the dense row-major array `out`, the region `region` of `value`, by the value's initialiser (Philox keyed by seed and
/// name, counter = row-major index in the whole value). Kind none gives zeros.
/// @param out has room for region.elements() of the value's dtype.
void fill_initial(const Value& value, std::uint64_t seed, const Box& region, void* out);

}  // namespace hpdlf::graph
