#include "train/timeline_chart.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <utility>

#include "train/html.hpp"
#include "train/line_chart.hpp"

namespace hpdlf::train {
namespace {

using html::coordinate;
using html::escape;

constexpr double kWidth = 1140, kRowHeight = 26, kRowGap = 6, kLeft = 76, kRight = 64, kTop = 6,
                 kBottom = 40;
constexpr double kMergeGap =
    0.4;  // SVG units: below that two bars of one colour look like one anyway

constexpr std::array<std::pair<const char*, const char*>, 7> kPhases = {{{"load", "#8a94a6"},
                                                                         {"forward", "#3b82f6"},
                                                                         {"loss", "#eab308"},
                                                                         {"backward", "#f97316"},
                                                                         {"reduce", "#a855f7"},
                                                                         {"update", "#22c55e"},
                                                                         {"move", "#14b8a6"}}};

struct Extent {
  double start = std::numeric_limits<double>::infinity(), end = 0;
  explicit Extent(const std::vector<WorkerSpan>& spans) {
    for (const WorkerSpan& span : spans)
      start = std::min(start, span.start_us), end = std::max(end, span.end_us);
  }
  [[nodiscard]] double length() const { return std::max(end - start, 1e-3); }
};

struct Bar {
  double x0, x1;
  const WorkerSpan* first;
  int tasks;
};

/// Spans of one worker, in order of time, as bars.
std::vector<Bar> bars_of(std::vector<const WorkerSpan*> spans, const Extent& extent) {
  std::sort(spans.begin(), spans.end(),
            [](const auto* a, const auto* b) { return a->start_us < b->start_us; });
  const double scale = (kWidth - kLeft - kRight) / extent.length();
  std::vector<Bar> bars;
  for (const WorkerSpan* span : spans) {
    const double x0 = kLeft + (span->start_us - extent.start) * scale,
                 x1 = kLeft + (span->end_us - extent.start) * scale;
    const bool joins = !bars.empty() && bars.back().first->phase == span->phase &&
                       x0 - bars.back().x1 < kMergeGap &&
                       (x1 - x0 < 2 * kMergeGap || bars.back().x1 - bars.back().x0 < 2 * kMergeGap);
    if (joins) {
      bars.back().x1 = std::max(bars.back().x1, x1);
      ++bars.back().tasks;
    } else {
      bars.push_back({x0, x1, span, 1});
    }
  }
  return bars;
}

std::string draw_bar(const Bar& bar, double y) {
  const WorkerSpan& span = *bar.first;
  const std::string more = bar.tasks > 1 ? fmt::format(" and {} more tasks", bar.tasks - 1) : "";
  return fmt::format(
      "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>{}{} · {} · "
      "{}</title></rect>\n",
      coordinate(bar.x0), y, coordinate(std::max(0.15, bar.x1 - bar.x0)), kRowHeight,
      phase_color(span.phase), escape(span.name), more, escape(span.phase),
      html::duration_ms((span.end_us - span.start_us) / 1000));
}

std::string draw_axis(const Extent& extent, double y) {
  std::string svg;
  const double ms = extent.length() / 1000, scale = (kWidth - kLeft - kRight) / ms;
  for (const double tick : axis_ticks(0, ms, 10)) {
    if (tick > ms) continue;
    const std::string x = coordinate(kLeft + tick * scale);
    svg += fmt::format("<line class=\"grid\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/>", x,
                       kTop, y + 4);
    svg += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                       x, y + 17, html::number(tick));
  }
  return svg +
         fmt::format(
             "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">milliseconds</text>\n",
             kLeft + (kWidth - kLeft - kRight) / 2, y + 33);
}

}  // namespace

std::string phase_color(const std::string& phase) {
  for (const auto& [name, color] : kPhases)
    if (phase == name) return color;
  return "#8a94a6";
}

double busy_share(const std::vector<WorkerSpan>& spans, int worker) {
  if (spans.empty()) return 0;
  std::map<int, double> busy;
  for (const WorkerSpan& span : spans)
    if (worker < 0 || span.worker == worker) busy[span.worker] += span.end_us - span.start_us;
  double sum = 0;
  for (const auto& [id, time] : busy) sum += time;
  return busy.empty() ? 0 : sum / (static_cast<double>(busy.size()) * Extent(spans).length());
}

std::string render_timeline(const std::vector<WorkerSpan>& spans) {
  if (spans.empty()) return "";
  const Extent extent(spans);
  std::map<int, std::vector<const WorkerSpan*>> rows;
  for (const WorkerSpan& span : spans) rows[span.worker].push_back(&span);
  const double bottom = kTop + static_cast<double>(rows.size()) * (kRowHeight + kRowGap);

  std::string figure =
      "<figure class=\"chart wide\"><figcaption>Workers during one step<span class=\"legend\">";
  for (const auto& [name, color] : kPhases)
    if (std::any_of(spans.begin(), spans.end(),
                    [&, n = name](const WorkerSpan& s) { return s.phase == n; }))
      figure +=
          fmt::format("<span><i class=\"box\" style=\"background:{}\"></i>{}</span>", color, name);
  figure += fmt::format(
      "</span></figcaption>\n<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Tasks of each "
      "worker during one step\">\n",
      kWidth, bottom + kBottom);
  figure += draw_axis(extent, bottom);
  double y = kTop;
  for (const auto& [worker, row] : rows) {
    const double middle = y + kRowHeight / 2;
    figure += fmt::format(
        "<text class=\"tick\" x=\"{}\" y=\"{}\" dy=\"0.32em\" text-anchor=\"end\">worker {}</text>",
        kLeft - 8, middle, worker);
    figure += fmt::format("<rect class=\"lane\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
                          kLeft, y, kWidth - kLeft - kRight, kRowHeight);
    for (const Bar& bar : bars_of(row, extent)) figure += draw_bar(bar, y);
    figure +=
        fmt::format("<text class=\"tick\" x=\"{}\" y=\"{}\" dy=\"0.32em\">{:.0f} % busy</text>\n",
                    kWidth - kRight + 6, middle, 100 * busy_share(spans, worker));
    y += kRowHeight + kRowGap;
  }
  return figure + "</svg></figure>\n";
}

}  // namespace hpdlf::train
