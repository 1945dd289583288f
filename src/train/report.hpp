// report.html: the whole run on one page that needs nothing else, to look at, to mail and to print.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "train/line_chart.hpp"
#include "train/run_summary.hpp"
#include "train/slices.hpp"
#include "train/timeline_chart.hpp"

namespace hpdlf::train {

/// Time of one layer in one step, milliseconds over all its tasks.
struct LayerTime {
  std::string layer;
  double forward_ms = 0, backward_ms = 0, update_ms = 0;
  double predicted_ms = 0;  ///< of the three together
  [[nodiscard]] double total_ms() const { return forward_ms + backward_ms + update_ms; }
};

struct ReportData {
  RunSummary summary;
  std::string date;  ///< "2026-11-21 14:03"
  std::vector<std::pair<std::string, std::string>>
      facts;                ///< further rows of "How it was run": ("Data", "..."), ...
  Curve train_loss;         ///< by step
  Curve validation_loss;    ///< may be empty
  std::vector<Curve> dice;  ///< one a class but the background, in class order
  Curve mean_dice;
  std::vector<SlicePictures> slices;
  std::vector<LayerTime> layers;     ///< in the network's order
  std::vector<WorkerSpan> timeline;  ///< of one step
};

/// Parts without data are left out. No scripts, no external addresses; every text is escaped.
[[nodiscard]] std::string report_html(const ReportData& data);
/// @throws Error.
void write_report(const ReportData& data, const std::filesystem::path& path);

}  // namespace hpdlf::train
