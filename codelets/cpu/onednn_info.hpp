// What oneDNN is and uses here, for reports.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace hpdlf::codelets {

struct OnednnInfo {
  std::string version;  ///< "3.2.0"
  std::string
      instruction_set;  ///< the widest that this CPU has and oneDNN uses: "AVX2", "AVX-512 with bf16", ...
};
[[nodiscard]] OnednnInfo onednn_info();

}  // namespace hpdlf::codelets
