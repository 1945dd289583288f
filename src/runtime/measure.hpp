// How long a kernel takes on this machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>

#include "partition/kernel_call.hpp"

namespace hpdlf::runtime {

/// A call whose time tells how fast this machine is at the moment.
struct Reference {
  partition::KernelCall call;
  double seconds;  ///< it takes at the pace that is asked for
  double share;    ///< of what is measured that is faster and slower as it is; shares add up to 1
};

/// Seconds of processor time of one call at the references' pace: the median of several, the mean over `threads` threads that make it at the same
/// time, each on operands of its own, in no cache. These are sample numbers (base/sample_numbers.hpp), indices and labels 0.
/// It takes about `seconds`, references included. StarPU's workers, if there are any, start no task meanwhile.
/// @throws Error if no kernel takes the call or memory is exhausted.
[[nodiscard]] double measure(const partition::KernelCall& call, int threads, double seconds,
                             std::span<const Reference> references = {});

}  // namespace hpdlf::runtime
