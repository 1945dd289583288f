// Line charts as inline SVG. Colours of axes and text are CSS classes of the page around it, so that dark pages work.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace hpdlf::train {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>>
      points;  ///< (x, y), x rising; a y that is not finite breaks the line
};

struct ChartLine {
  Curve curve;
  std::string color;         ///< any CSS colour
  bool is_faint = false;     ///< thin and pale: raw values behind a smoothed line
  bool has_markers = false;  ///< dots at the points: few and far between
};

struct LineChart {
  std::string title, x_label, y_label;
  std::vector<ChartLine> lines;
  double y_min = 0;  ///< the axis begins here at the latest
  double y_max = 0;  ///< and ends here at the earliest; 0: where the data ends
};

/// Round numbers that cover [low, high]: about `wanted` of them, steps of 1, 2 or 5 times a power of ten.
[[nodiscard]] std::vector<double> axis_ticks(double low, double high, int wanted);

/// At most 2 * buckets points that look the same: minimum and maximum of each bucket. Spikes stay.
[[nodiscard]] std::vector<std::pair<double, double>> thinned(
    const std::vector<std::pair<double, double>>& points, std::size_t buckets);

/// Exponentially weighted mean, unbiased at the start. Points that are not finite are left out.
[[nodiscard]] Curve smoothed(const Curve& curve, double weight);

/// A <figure> with title, legend and <svg>.
[[nodiscard]] std::string render(const LineChart& chart);

}  // namespace hpdlf::train
