// How long a kernel takes on this machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "partition/kernel_call.hpp"

namespace hpdlf::runtime {

/// Seconds of processor time of one call: the least of several, the mean over `threads` threads that make it at the same time, each on
/// operands of its own. These are zeros (every index and label is one that exists; nothing is denormal) and not in the thread's caches.
/// The calls last about `seconds` in all. StarPU's workers, if there are any, start no task meanwhile.
/// @throws Error if no kernel takes the call or memory is exhausted.
[[nodiscard]] double measure(const partition::KernelCall& call, int threads, double seconds);

}  // namespace hpdlf::runtime
