#include "train/report.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "base/atomic_file.hpp"
#include "train/html.hpp"
#include "train/report_style.hpp"

namespace hpdlf::train {
namespace {

using html::escape;

constexpr double kLossSmoothing = 0.2;  // about the mean of the last five steps: little lag
constexpr int kShotHeight = 290;        // CSS pixels
constexpr const char* kMeanColor = "var(--text)";
constexpr const char* kLossColor = "var(--accent)";

std::string css(Rgb color) { return fmt::format("#{:02x}{:02x}{:02x}", color.r, color.g, color.b); }

std::string tile(const std::string& name, const std::string& value, const std::string& more) {
  return fmt::format(
      "<div class=\"tile\"><div class=\"name\">{}</div><div class=\"value\">{}</div><div "
      "class=\"more\">{}</div></div>\n",
      escape(name), escape(value), escape(more));
}

std::string tiles(const RunSummary& s) {
  const auto predicted = [](double p, double m, const std::string& text) {
    return p > 0 ? fmt::format("predicted {} ({})", text, html::deviation(p, m)) : "";
  };
  std::string out = "<div class=\"tiles\">\n";
  out += tile("Mean Dice, validation", s.dice.empty() ? "–" : fmt::format("{:.3f}", s.mean_dice),
              fmt::format("over {} classes", s.dice.size()));
  out += tile("Time a step", html::duration_ms(s.step_ms),
              predicted(s.predicted_step_ms, s.step_ms, html::duration_ms(s.predicted_step_ms)));
  out +=
      tile("Peak memory", html::memory_mib(s.peak_rss_mib),
           predicted(s.predicted_peak_mib, s.peak_rss_mib, html::memory_mib(s.predicted_peak_mib)));
  out += tile(s.interrupted ? "Steps, interrupted" : "Steps", html::whole(s.steps),
              html::duration_ms(1000 * s.total_seconds) +
                  (s.resumed_at > 0 ? fmt::format(" since step {}", s.resumed_at) : " in all"));
  return out + "</div>\n";
}

std::string curves(const ReportData& data) {
  std::string out;
  if (!data.train_loss.points.empty()) {
    LineChart chart{.title = "Loss", .x_label = "step", .y_label = "loss", .lines = {}};
    chart.lines.push_back({{"each step", data.train_loss.points}, kLossColor, true});
    Curve mean = smoothed(data.train_loss, kLossSmoothing);
    mean.name = "training, smoothed";
    chart.lines.push_back({mean, kLossColor});
    if (!data.validation_loss.points.empty())
      chart.lines.push_back(
          {{"validation", data.validation_loss.points}, css(class_color(1)), false, true});
    out += render(chart);
  }
  if (!data.dice.empty() || !data.mean_dice.points.empty()) {
    LineChart chart{.title = "Dice, validation",
                    .x_label = "step",
                    .y_label = "Dice",
                    .lines = {},
                    .y_min = 0,
                    .y_max = 1};
    for (std::size_t i = 0; i < data.dice.size(); ++i)
      chart.lines.push_back({data.dice[i], css(class_color(static_cast<int>(i) + 1)), false, true});
    if (!data.mean_dice.points.empty())
      chart.lines.push_back({{"mean", data.mean_dice.points}, kMeanColor, false, true});
    out += render(chart);
  }
  return out.empty() ? "" : "<h2>How it learned</h2>\n<div class=\"charts\">\n" + out + "</div>\n";
}

std::string dice_table(const RunSummary& s) {
  if (s.dice.empty()) return "";
  std::string out =
      "<div "
      "class=\"card\"><table><thead><tr><th>Class</th><th>Dice</th><th></th></tr></thead><tbody>\n";
  int label = 0;
  for (const auto& [name, value] : s.dice) {
    const std::string color = css(class_color(++label));
    out += fmt::format(
        "<tr><td><i class=\"swatch\" style=\"background:{0}\"></i>{1}</td><td>{2}</td><td "
        "style=\"width:55%\"><div class=\"bar\">"
        "<i style=\"width:{3:.1f}%;background:{0}\"></i></div></td></tr>\n",
        color, escape(name), std::isfinite(value) ? fmt::format("{:.3f}", value) : "–",
        std::isfinite(value) ? 100 * std::clamp(value, 0.0, 1.0) : 0);
  }
  return out + "</tbody></table></div>\n";
}

std::string shot(const RgbImage& image, const std::string& caption, const std::string& plane) {
  if (image.pixels.empty()) return "";
  // All pictures are equally high where there is room; the page scales a plane's pictures alike where there is not.
  const int width = kShotHeight * image.width / std::max(1, image.height);
  return fmt::format(
      "<div style=\"--wide:{}\"><img alt=\"{}: {}\" src=\"{}\"><span>{}</span></div>", width,
      escape(plane), escape(caption), png_data_uri(image), escape(caption));
}

std::string slice_pictures(const ReportData& data) {
  if (data.slices.empty()) return "";
  std::string out = "<figure class=\"slices\"><figcaption>Validation case<span class=\"legend\">";
  int label = 0;
  for (const auto& [name, value] : data.summary.dice)
    out += fmt::format("<span><i class=\"box\" style=\"background:{}\"></i>{}</span>",
                       css(class_color(++label)), escape(name));
  out += "</span></figcaption>\n<div class=\"planes\">\n";
  for (const SlicePictures& slice : data.slices) {
    const std::string plane = fmt::format("{}, slice {}", slice.plane, slice.index);
    out += fmt::format("<div class=\"plane\"><p>{}</p><div class=\"shots\">", escape(plane)) +
           shot(slice.image, "scan", plane) + shot(slice.truth, "truth", plane) +
           shot(slice.prediction, "prediction", plane) + "</div></div>\n";
  }
  return out + "</div></figure>\n";
}

std::string layer_row(const LayerTime& t, double longest, const char* row_class) {
  const auto part = [&](double ms, const char* phase) {
    return fmt::format("<i style=\"width:{:.2f}%;background:{}\"></i>",
                       longest > 0 ? 100 * ms / longest : 0, phase_color(phase));
  };
  return fmt::format(
      "<tr{}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td><div "
      "class=\"bar\">{}{}{}</div></td></tr>\n",
      row_class, escape(t.layer), html::number(t.forward_ms), html::number(t.backward_ms),
      html::number(t.update_ms), html::number(t.total_ms()), html::number(t.predicted_ms),
      html::deviation(t.predicted_ms, t.total_ms()), part(t.forward_ms, "forward"),
      part(t.backward_ms, "backward"), part(t.update_ms, "update"));
}

std::string time_section(const ReportData& data) {
  if (data.layers.empty() && data.timeline.empty()) return "";
  std::string out =
      "<h2>Where the time goes</h2>\n<p class=\"note\">One training step. Milliseconds of work, "
      "added over all workers; "
      "predicted by simulating the same tasks before the run.</p>\n";
  if (!data.layers.empty()) {
    LayerTime total{.layer = "all layers"};
    double longest = 0;
    for (const LayerTime& t : data.layers) {
      total.forward_ms += t.forward_ms, total.backward_ms += t.backward_ms,
          total.update_ms += t.update_ms, total.predicted_ms += t.predicted_ms;
      longest = std::max(longest, t.total_ms());
    }
    out +=
        "<div "
        "class=\"card\"><table><thead><tr><th>Layer</th><th>forward</th><th>backward</"
        "th><th>update</th><th>measured</th>"
        "<th>predicted</th><th>deviation</th><th></th></tr></thead><tbody>\n";
    for (const LayerTime& t : data.layers) out += layer_row(t, longest, "");
    out += layer_row(total, total.total_ms(), " class=\"total\"");
    out += "</tbody></table></div>\n";
  }
  return out + render_timeline(data.timeline);
}

std::string run_section(const ReportData& data) {
  const RunSummary& s = data.summary;
  std::vector<std::pair<std::string, std::string>> rows = {
      {"Network", s.network},
      {"Plan", s.plan},
      {"Machine", s.machine},
      {"Processes and workers", fmt::format("{} × {}", s.ranks, s.workers)},
      {"Seed", fmt::format("{}", s.seed)}};
  rows.insert(rows.end(), data.facts.begin(), data.facts.end());
  std::string out = "<h2>How it was run</h2>\n<div class=\"card\"><table class=\"facts\"><tbody>\n";
  for (const auto& [name, value] : rows)
    if (!value.empty())
      out += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value));
  return out + "</tbody></table></div>\n";
}

}  // namespace

std::string report_html(const ReportData& data) {
  const std::string title = escape(data.summary.name);
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  page += fmt::format(
      "<title>{}</title>\n<style>{}</style></head>\n<body><main>\n<header><h1>{}</h1><p>{}</p></"
      "header>\n",
      title, report_style(), title, escape(data.date));
  page += tiles(data.summary);
  const std::string result = slice_pictures(data) + dice_table(data.summary);
  if (!result.empty()) page += "<h2>What it found</h2>\n" + result;
  page += curves(data) + time_section(data) + run_section(data);
  return page + "<footer>Written by HP-DLF.</footer>\n</main></body></html>\n";
}

void write_report(const ReportData& data, const std::filesystem::path& path) {
  write_file_atomically(path, report_html(data));
}

}  // namespace hpdlf::train
