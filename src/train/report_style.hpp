// The style sheet of report.html.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

namespace hpdlf::train {

/// CSS for light and dark screens and for paper. No imports, no fonts from elsewhere.
[[nodiscard]] std::string_view report_style();

}  // namespace hpdlf::train
