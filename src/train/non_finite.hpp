// Words for the first value of a step that is NaN or infinite: what it is, which layer made it, what to try.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "runtime/executor.hpp"

namespace hpdlf::train {

struct NonFiniteOrigin {
  std::string what;    ///< "the output of "down0.0" (Conv, layer down0, forward)"
  std::string remedy;  ///< settings to change
};

[[nodiscard]] NonFiniteOrigin describe(const partition::TaskGraph& tasks,
                                       const runtime::NonFinite& found);

}  // namespace hpdlf::train
