// Text for HTML and SVG: escaping, and numbers as people read them.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace hpdlf::train::html {

/// Safe as text and inside a quoted attribute; characters that XML forbids are left out.
[[nodiscard]] std::string escape(std::string_view text);

/// Three significant digits, no exponent where it can be avoided: "0.0123", "812", "12,300"; a dash for NaN.
[[nodiscard]] std::string number(double value);
/// "1,401,333"
[[nodiscard]] std::string whole(std::int64_t value);
/// "812 ms", "1.2 s", "3:05 min"
[[nodiscard]] std::string duration_ms(double milliseconds);
/// "512 MiB", "1.46 GiB"
[[nodiscard]] std::string memory_mib(double mib);
/// Prediction against measurement: "+2.7 %"; a dash if there is none.
[[nodiscard]] std::string deviation(double predicted, double measured);
/// A coordinate in SVG: two decimals at most.
[[nodiscard]] std::string coordinate(double value);

}  // namespace hpdlf::train::html
