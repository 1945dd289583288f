// Which convolutions Winograd's operators take; graph/passes/use_winograd.cc asks before it puts them in.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/attrs.hpp"

namespace hpdlf::graph {

/// Of a convolution by kernels of 3x3 or Dx3x3 with D up to kMostWinogradTaps, in one group, not dilated: 1 if it moves by 1 along all axes, 2
/// if by 2 in H and W, and by anything along D. 0: no such convolution.
[[nodiscard]] std::int64_t winograd_stride(const Attrs& attrs);

}  // namespace hpdlf::graph
