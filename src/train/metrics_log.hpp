// The numbers of a run as it goes: metrics.csv for spreadsheets and scripts, event files for TensorBoard.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "train/tensorboard.hpp"

namespace hpdlf::train {

/// Columns of metrics.csv are `step` and those named at the start; a row may leave any of them empty.
class MetricsLog {
 public:
  using Scalar = TensorBoardWriter::Scalar;

  /// @param folder  of the run; holds metrics.csv and tensorboard/.
  /// @param columns  their names are TensorBoard's tags ("train/loss").
  /// @param resumed_step  > 0: the run goes on after this step; rows of later ones, which the stopped process left, are dropped.
  /// @throws Error if the file cannot be written or, when resuming, has other columns.
  MetricsLog(const std::filesystem::path& folder, std::vector<std::string> columns,
             std::int64_t resumed_step = 0);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  /// Appends a row and hands it to the system at once: a killed process loses none. @throws Error on a full disk.
  void add(std::int64_t step, std::span<const Scalar> values);

 private:
  void keep_rows_until(std::int64_t resumed_step);
  std::filesystem::path path_;
  std::vector<std::string> columns_;
  TensorBoardWriter tensorboard_;
  int fd_ = -1;
};

/// What a metrics.csv holds: (step, value) of each column, empty fields left out. So a report of a resumed run shows all of it.
/// @throws Error if the file cannot be read.
[[nodiscard]] std::map<std::string, std::vector<std::pair<double, double>>> read_metrics(
    const std::filesystem::path& csv);

}  // namespace hpdlf::train
