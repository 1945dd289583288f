#include "train/line_chart.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>

#include "train/html.hpp"

namespace hpdlf::train {
namespace {

using html::coordinate;
using html::escape;

constexpr double kWidth = 560, kHeight = 300;  // of the drawing, in SVG units
constexpr double kLeft = 52, kRight = 14, kTop = 12,
                 kBottom = 44;         // margins: room for numbers and labels
constexpr std::size_t kBuckets = 500;  // about one a pixel

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  [[nodiscard]] bool is_empty() const { return low > high; }
};

struct Axes {
  Range x, y;
  [[nodiscard]] double px(double value) const {
    return kLeft + (value - x.low) / (x.high - x.low) * (kWidth - kLeft - kRight);
  }
  [[nodiscard]] double py(double value) const {
    return kHeight - kBottom - (value - y.low) / (y.high - y.low) * (kHeight - kTop - kBottom);
  }
};

/// As many decimals as the distance of the ticks needs.
std::string tick_text(double value, double distance) {
  if (std::abs(value) < 1e-9 * distance) value = 0;  // no "-0.0"
  const int decimals = std::clamp(-static_cast<int>(std::floor(std::log10(distance) + 1e-9)), 0, 9);
  return decimals == 0 ? html::whole(std::llround(value)) : fmt::format("{:.{}f}", value, decimals);
}

Axes fit_axes(const LineChart& chart) {
  Axes axes;
  for (const ChartLine& line : chart.lines)
    for (const auto& [x, y] : line.curve.points) axes.x.add(x), axes.y.add(y);
  if (axes.x.is_empty()) axes.x = {0, 1};
  if (axes.y.is_empty()) axes.y = {0, 1};
  axes.y.low = std::min(axes.y.low, chart.y_min);
  axes.y.high = std::max(axes.y.high, chart.y_max);
  if (axes.x.high == axes.x.low) axes.x.high = axes.x.low + 1;
  if (axes.y.high == axes.y.low) axes.y.high = axes.y.low + 1;
  const auto ticks = axis_ticks(axes.y.low, axes.y.high, 5);
  axes.y.high = std::max(axes.y.high, ticks.back());
  return axes;
}

std::string draw_axes(const LineChart& chart, const Axes& axes) {
  std::string svg;
  const auto y_ticks = axis_ticks(axes.y.low, axes.y.high, 5);
  for (const double tick : y_ticks) {
    const std::string y = coordinate(axes.py(tick));
    svg += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", kLeft,
                       kWidth - kRight, y, y);
    svg += fmt::format(
        "<text class=\"tick\" x=\"{}\" y=\"{}\" dy=\"0.32em\" text-anchor=\"end\">{}</text>\n",
        kLeft - 8, y, tick_text(tick, y_ticks[1] - y_ticks[0]));
  }
  const auto x_ticks = axis_ticks(axes.x.low, axes.x.high, 6);
  for (const double tick : x_ticks) {
    if (tick > axes.x.high * (1 + 1e-9)) continue;
    const std::string x = coordinate(axes.px(tick));
    svg += fmt::format("<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", x, x,
                       kHeight - kBottom, kHeight - kBottom + 4);
    svg += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                       x, kHeight - kBottom + 17, tick_text(tick, x_ticks[1] - x_ticks[0]));
  }
  svg += fmt::format("<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>\n", kLeft,
                     kWidth - kRight, kHeight - kBottom, kHeight - kBottom);
  svg += fmt::format("<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                     (kLeft + kWidth - kRight) / 2, kHeight - 6, escape(chart.x_label));
  svg += fmt::format(
      "<text class=\"label\" transform=\"translate(12 {}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>\n",
      (kTop + kHeight - kBottom) / 2, escape(chart.y_label));
  return svg;
}

std::string draw_line(const ChartLine& line, const Axes& axes) {
  std::string path, markers;
  bool pen_down = false;
  for (const auto& [x, y] : thinned(line.curve.points, kBuckets)) {
    if (!std::isfinite(x) || !std::isfinite(y)) {
      pen_down = false;
      continue;
    }
    const std::string px = coordinate(axes.px(x)), py = coordinate(axes.py(y));
    path += fmt::format("{}{} {}", pen_down ? "L" : "M", px, py);
    pen_down = true;
    if (line.has_markers)
      markers += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"3\" fill=\"{}\"/>", px, py,
                             escape(line.color));
  }
  return fmt::format("<path class=\"{}\" stroke=\"{}\" d=\"{}\"/>{}\n",
                     line.is_faint ? "faint" : "curve", escape(line.color), path, markers);
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int wanted) {
  constexpr int kMostTicks = 20;  // where rounding makes numbers and distances meaningless
  const double raw = (high > low ? high - low : 1) / std::max(1, wanted);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double share = raw / power;
  const double distance = power * (share <= 1.0001   ? 1
                                   : share <= 2.0001 ? 2
                                   : share <= 5.0001 ? 5
                                                     : 10);
  const double first = std::ceil(low / distance - 1e-9), last = std::ceil(high / distance - 1e-9);
  const int count =
      static_cast<int>(std::clamp(last - first + 1, 2.0, static_cast<double>(kMostTicks)));
  std::vector<double> ticks;
  ticks.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i)
    ticks.push_back((first + i) * distance + 0.0);  // + 0: no negative zero
  return ticks;
}

std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& points,
                                               std::size_t buckets) {
  if (points.size() <= 2 * buckets) return points;
  std::vector<std::pair<double, double>> few;
  for (std::size_t b = 0; b < buckets; ++b) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(points.size() * b / buckets);
    const auto end =
        points.begin() + static_cast<std::ptrdiff_t>(points.size() * (b + 1) / buckets);
    auto [low, high] = std::minmax_element(
        begin, end, [](const auto& p, const auto& q) { return p.second < q.second; });
    if (high < low) std::swap(low, high);  // in the order of x
    few.push_back(*low);
    if (high != low) few.push_back(*high);
  }
  return few;
}

Curve smoothed(const Curve& curve, double weight) {
  Curve result{curve.name, {}};
  double sum = 0, total_weight = 0;
  for (const auto& [x, y] : curve.points) {
    if (!std::isfinite(y)) continue;
    sum = (1 - weight) * sum + weight * y;
    total_weight = (1 - weight) * total_weight + weight;
    result.points.emplace_back(x, sum / total_weight);
  }
  return result;
}

std::string render(const LineChart& chart) {
  const Axes axes = fit_axes(chart);
  std::string figure = fmt::format("<figure class=\"chart\"><figcaption>{}<span class=\"legend\">",
                                   escape(chart.title));
  for (const ChartLine& line : chart.lines)
    if (!line.curve.name.empty())
      figure += fmt::format("<span><i class=\"{}\" style=\"background:{}\"></i>{}</span>",
                            line.is_faint ? "faint-key" : "key", escape(line.color),
                            escape(line.curve.name));
  figure += fmt::format(
      "</span></figcaption>\n<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", kWidth,
      kHeight, escape(chart.title));
  figure += draw_axes(chart, axes);
  for (const ChartLine& line : chart.lines) figure += draw_line(line, axes);
  return figure + "</svg></figure>\n";
}

}  // namespace hpdlf::train
