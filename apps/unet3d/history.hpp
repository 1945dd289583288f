// The numbers of a run step by step, from which the curves of its report are drawn.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hpdlf::apps {

/// Dice of each class 1 .. at one validation.
struct Validation {
  std::int64_t step = 0;
  std::vector<double> dice;
  [[nodiscard]] double mean() const;
};

struct History {
  struct Step {
    std::int64_t step = 0;
    double loss = 0, soft_dice = 0, learning_rate = 0, seconds = 0;
  };
  std::vector<Step> steps;
  std::vector<Validation> validations;
};

/// Columns of metrics.csv.
inline constexpr const char* kLossColumn = "train/loss";
inline constexpr const char* kSoftDiceColumn = "train/soft_dice";
inline constexpr const char* kLearningRateColumn = "train/learning_rate";
inline constexpr const char* kStepMsColumn = "train/step_ms";
inline constexpr const char* kMeanDiceColumn = "validation/mean_dice";
[[nodiscard]] std::string dice_column(const std::string& class_name);
/// All of them, for classes of these names (the first is the background).
[[nodiscard]] std::vector<std::string> metric_columns(const std::vector<std::string>& classes);

/// What a metrics.csv with these columns holds. @throws Error if it cannot be read.
[[nodiscard]] History read_history(const std::filesystem::path& csv,
                                   const std::vector<std::string>& classes);

}  // namespace hpdlf::apps
