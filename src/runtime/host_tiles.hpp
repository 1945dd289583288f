// Persistent tiles seen from the host: initial content, writing and gathering of whole parameters, between steps.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "runtime/bind.hpp"
#include "runtime/executor.hpp"

namespace hpdlf::runtime {

/// Submits tasks that give every persistent tile of this rank its initial content. Nothing may be running; until they have ended `latch`
/// must live, which then holds their failure.
void submit_initial_tiles(const BoundGraph& bound, std::uint64_t seed,
                          codelets::FailureLatch& latch);
/// Copies `content` into the tiles of `value` that this rank holds. Nothing may be running.
void scatter(const BoundGraph& bound, graph::ValueId value, const HostTensor& content);
/// What this rank owns of `value`, zeros elsewhere. Nothing may be running.
[[nodiscard]] std::shared_ptr<HostTensor> gather_own(const BoundGraph& bound, int rank,
                                                     graph::ValueId value);

}  // namespace hpdlf::runtime
