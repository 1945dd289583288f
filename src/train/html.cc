#include "train/html.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace hpdlf::train::html {
namespace {

constexpr const char* kDash = "–";

/// Commas between groups of three digits of the part before the point.
std::string grouped(std::string digits) {
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  std::size_t end = std::min(digits.find('.'), digits.size());
  while (end > first + 3) {
    end -= 3;
    digits.insert(end, 1, ',');
  }
  return digits;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') out += c;
    }
  }
  return out;
}

std::string number(double value) {
  if (!std::isfinite(value)) return kDash;
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size < 1e-4 || size >= 1e12) return fmt::format("{:.2e}", value);
  const int decimals = std::clamp(2 - static_cast<int>(std::floor(std::log10(size))), 0, 6);
  return grouped(fmt::format("{:.{}f}", value, decimals));
}

std::string whole(std::int64_t value) { return grouped(fmt::format("{}", value)); }

std::string duration_ms(double milliseconds) {
  if (!std::isfinite(milliseconds)) return kDash;
  if (milliseconds < 1000) return number(milliseconds) + " ms";
  if (milliseconds < 60'000) return number(milliseconds / 1000) + " s";
  const auto seconds = std::llround(milliseconds / 1000);
  return fmt::format("{}:{:02} min", seconds / 60, seconds % 60);
}

std::string memory_mib(double mib) {
  return mib < 1024 ? number(mib) + " MiB" : number(mib / 1024) + " GiB";
}

std::string deviation(double predicted, double measured) {
  if (!(predicted > 0) || !(measured > 0)) return kDash;
  return fmt::format("{:+.1f} %", 100 * (predicted - measured) / measured);
}

std::string coordinate(double value) {
  std::string text = fmt::format("{:.2f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace hpdlf::train::html
