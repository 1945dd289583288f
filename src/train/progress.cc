#include "train/progress.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

namespace hpdlf::train {
namespace {

constexpr double kBarSeconds = 0.1;        // between two drawings: faster is only flicker
constexpr double kSmoothing = 0.1;         // weight of the newest step time
constexpr int kMinBar = 10, kMaxBar = 40;  // columns
constexpr int kDefaultWidth = 80;
constexpr std::string_view kClearLine = "\r\x1b[K";

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool has_unicode_locale() {
  for (const char* name :
       {"LC_ALL", "LC_CTYPE", "LANG"}) {  // the first that is set decides, as in setlocale(3)
    std::string value(environment(name));
    std::transform(value.begin(), value.end(), value.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (!value.empty())
      return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

int terminal_width(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefaultWidth;
}

/// "1.23 Mvoxels/s"
std::string rate_text(double per_second, const std::string& unit) {
  const char* prefixes[] = {"", "k", "M", "G", "T"};
  std::size_t i = 0;
  for (; per_second >= 1000 && i + 1 < std::size(prefixes); ++i) per_second /= 1000;
  return fmt::format("{:.3g} {}{}/s", per_second, prefixes[i], unit);
}

/// The fields right of the bar; the first to be left out on a narrow terminal comes last.
std::vector<std::string> fields_of(const ProgressState& state, double seconds_per_step) {
  std::vector<std::string> fields = {fmt::format("loss {:.4f}", state.loss)};
  if (seconds_per_step > 0)
    fields.push_back(clock_text(static_cast<double>(state.steps - state.step) * seconds_per_step) +
                     " left");
  if (state.dice) fields.push_back(fmt::format("Dice {:.3f}", *state.dice));
  if (seconds_per_step > 0 && state.units_per_step > 0)
    fields.push_back(rate_text(state.units_per_step / seconds_per_step, state.unit));
  return fields;
}

/// In the order they are read: loss, Dice, rate, time left.
std::string join_fields(std::vector<std::string> fields) {
  if (fields.size() > 1) std::rotate(fields.begin() + 1, fields.begin() + 2, fields.end());
  std::string text;
  for (const std::string& field : fields) text += "  " + field;
  return text;
}

std::string draw_bar(double share, int columns, const ProgressLook& look) {
  const int halves = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * 2 * columns));
  std::string done, rest;
  for (int i = 0; i < columns; ++i) {
    if (!look.unicode)
      (2 * i < halves ? done : rest) += 2 * i < halves ? "#" : "-";
    else if (2 * i + 1 < halves)
      done += "━";
    else if (2 * i < halves)
      done += "╸";
    else
      rest += "─";
  }
  return look.color ? "\x1b[36m" + done + "\x1b[0;2m" + rest + "\x1b[0m" : done + rest;
}

}  // namespace

std::string clock_text(double seconds) {
  const auto s = static_cast<std::int64_t>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string progress_text_line(const ProgressState& state, double seconds_per_step) {
  return fmt::format("step {}/{}{}", state.step, state.steps,
                     join_fields(fields_of(state, seconds_per_step)));
}

std::string progress_bar_line(const ProgressState& state, double seconds_per_step,
                              const ProgressLook& look) {
  const std::string total = fmt::format("{}", state.steps);
  const std::string head =
      fmt::format("{:>{}}/{} ", state.step, total.size(), total);  // fixed width: nothing jumps
  std::vector<std::string> fields = fields_of(state, seconds_per_step);
  const auto room = [&] {
    return look.width - static_cast<int>(head.size() + join_fields(fields).size());
  };
  while (fields.size() > 1 && room() < kMinBar) fields.pop_back();

  if (room() < kMinBar)
    return (head + join_fields(fields))
        .substr(0, static_cast<std::size_t>(std::max(0, look.width)));
  const double share =
      state.steps > 0 ? static_cast<double>(state.step) / static_cast<double>(state.steps) : 0;
  return head + draw_bar(share, std::min(room(), kMaxBar), look) + join_fields(fields);
}

Progress::Progress(ProgressOptions options) : options_(std::move(options)) {
  using Style = ProgressOptions::Style;
  if (!options_.clock) options_.clock = monotonic_seconds;
  if (options_.style == Style::automatic)
    options_.style =
        ::isatty(options_.fd) != 0 && environment("TERM") != "dumb" ? Style::bar : Style::lines;
  look_.unicode = has_unicode_locale();
  look_.color = environment("NO_COLOR").empty() && ::isatty(options_.fd) != 0;
}

Progress::~Progress() { finish(); }

void Progress::update(const ProgressState& state) {
  using Style = ProgressOptions::Style;
  if (state.step_seconds > 0)
    seconds_per_step_ +=
        (seconds_per_step_ == 0 ? 1 : kSmoothing) * (state.step_seconds - seconds_per_step_);
  if (options_.style == Style::quiet) return;
  const double now = options_.clock();
  const double interval = options_.style == Style::bar ? kBarSeconds : options_.line_seconds;
  if (shown_ && now - last_shown_ < interval && state.step < state.steps) return;
  shown_ = true;
  last_shown_ = now;

  if (options_.style == Style::lines) {
    write(progress_text_line(state, seconds_per_step_) + "\n");
    return;
  }
  look_.width = terminal_width(options_.fd) -
                1;  // a full line would wrap on some terminals; the width may change
  std::string bar = progress_bar_line(state, seconds_per_step_, look_);
  // Written over the old one, and only the rest of the line cleared: clearing first would flicker.
  write("\r" + bar + "\x1b[K");
  bar_ = std::move(bar);
}

void Progress::message(const std::string& text) {
  using Style = ProgressOptions::Style;
  if (options_.style == Style::quiet) return;
  if (bar_.empty())
    write(text + "\n");
  else
    write(std::string(kClearLine) + text + "\n" + bar_);
}

void Progress::finish() {
  if (!bar_.empty()) write("\n");
  bar_.clear();
}

void Progress::write(const std::string& text) const {
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t n = ::write(options_.fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;  // a closed terminal must not end the training
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace hpdlf::train
