// The kernels of graph/ops/winograd.cc; each is in a file of its own, as every file is compiled once an instruction set.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/winograd.hpp"

namespace hpdlf::codelets {

void register_winograd_cpu(KernelRegistry& registry) {
  registry.add(winograd::weights_kernel());
  registry.add(winograd::grad_input_kernel());
  for (const bool normalized : {false, true}) {
    registry.add(winograd::conv_kernel(normalized));
    registry.add(winograd::grad_weight_kernel(normalized));
  }
}

}  // namespace hpdlf::codelets
