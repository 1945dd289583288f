// Levelled log on standard error, prefixed with the rank when there are several.
// Level from HPDLF_LOG=trace|debug|info|warn|error (default warn); the program's own user interface does not go through here.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <spdlog/spdlog.h>

namespace hpdlf {

/// Reads HPDLF_LOG and installs the format. Call once, from main() or a test's main; `rank` < 0: no prefix.
void init_log(int rank = -1);

}  // namespace hpdlf
