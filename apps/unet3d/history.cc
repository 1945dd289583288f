#include "apps/unet3d/history.hpp"

#include <map>
#include <numeric>

#include "train/metrics_log.hpp"

namespace hpdlf::apps {

double Validation::mean() const {
  return dice.empty()
             ? 0
             : std::accumulate(dice.begin(), dice.end(), 0.0) / static_cast<double>(dice.size());
}

std::string dice_column(const std::string& class_name) { return "validation/dice " + class_name; }

std::vector<std::string> metric_columns(const std::vector<std::string>& classes) {
  std::vector<std::string> columns{kLossColumn, kSoftDiceColumn, kLearningRateColumn, kStepMsColumn,
                                   kMeanDiceColumn};
  for (std::size_t k = 1; k < classes.size(); ++k) columns.push_back(dice_column(classes[k]));
  return columns;
}

History read_history(const std::filesystem::path& csv, const std::vector<std::string>& classes) {
  const auto curves = train::read_metrics(csv);
  const auto for_each = [&](const std::string& column, const auto& take) {
    const auto curve = curves.find(column);
    if (curve == curves.end()) return;
    for (const auto& [step, value] : curve->second) take(static_cast<std::int64_t>(step), value);
  };
  std::map<std::int64_t, History::Step> steps;
  for_each(kLossColumn, [&](std::int64_t step, double v) { steps[step].loss = v; });
  for_each(kSoftDiceColumn, [&](std::int64_t step, double v) { steps[step].soft_dice = v; });
  for_each(kLearningRateColumn,
           [&](std::int64_t step, double v) { steps[step].learning_rate = v; });
  for_each(kStepMsColumn, [&](std::int64_t step, double v) { steps[step].seconds = v * 1e-3; });
  std::map<std::int64_t, std::vector<double>> dice;
  for (std::size_t k = 1; k < classes.size(); ++k)
    for_each(dice_column(classes[k]), [&](std::int64_t step, double v) {
      dice[step].resize(classes.size() - 1);
      dice[step][k - 1] = v;
    });

  History history;
  for (auto& [step, values] : steps) {
    values.step = step;
    history.steps.push_back(values);
  }
  for (auto& [step, values] : dice) history.validations.push_back({step, std::move(values)});
  return history;
}

}  // namespace hpdlf::apps
