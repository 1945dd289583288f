// What a person sees while training runs: a bar on a terminal, plain lines in a file, nothing when told to be quiet.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace hpdlf::train {

struct ProgressState {
  std::int64_t step = 0;   ///< done
  std::int64_t steps = 0;  ///< in all
  double loss = 0;
  std::optional<double> dice;  ///< the last known mean Dice
  double step_seconds = 0;     ///< of this step alone; rate and time left are smoothed from it
  double units_per_step = 0;   ///< voxels, tokens, ...
  std::string unit = "voxels";
};

struct ProgressOptions {
  enum class Style { automatic, bar, lines, quiet };
  Style style = Style::automatic;  ///< automatic: bar on a terminal, lines elsewhere
  double line_seconds = 10;        ///< at most one plain line in this time
  int fd = 2;                      ///< standard error: standard output stays for results
  std::function<double()> clock;   ///< seconds; empty: the monotonic clock
};

/// How a line is drawn.
struct ProgressLook {
  int width = 80;  ///< columns that may be used
  bool unicode = false;
  bool color = false;
};

/// The bar's line, at most look.width columns wide; fields are left out rather than wrapped. `seconds_per_step` is smoothed.
[[nodiscard]] std::string progress_bar_line(const ProgressState& state, double seconds_per_step,
                                            const ProgressLook& look);
/// "step 142/200  loss 0.5234  Dice 0.712  1.23 Mvoxels/s  0:48 left"
[[nodiscard]] std::string progress_text_line(const ProgressState& state, double seconds_per_step);
/// "0:48", "12:05", "1:02:03"
[[nodiscard]] std::string clock_text(double seconds);

/// One thread uses it. Every update is one write(2), so that lines of other processes do not tear it.
class Progress {
 public:
  explicit Progress(ProgressOptions options = {});
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows the state; at most ten times a second on a terminal. The last step is always shown.
  void update(const ProgressState& state);
  /// A line that stays (validation results, saved snapshots), above the bar. Printed in plain style too; not when quiet.
  void message(const std::string& text);
  /// Leaves the bar as it is and goes to the next line.
  void finish();

 private:
  void write(const std::string& text) const;
  ProgressOptions options_;
  ProgressLook look_;
  std::string bar_;              ///< on the screen now; empty if none
  double seconds_per_step_ = 0;  ///< smoothed
  double last_shown_ = 0;
  bool shown_ = false;
};

}  // namespace hpdlf::train
