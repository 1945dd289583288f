#include "train/run_summary.hpp"

#include <nlohmann/json.hpp>

#include "base/atomic_file.hpp"

namespace hpdlf::train {

std::string to_json(const RunSummary& summary) {
  nlohmann::ordered_json dice = nlohmann::ordered_json::object();
  for (const auto& [name, value] : summary.dice) dice[name] = value;
  const nlohmann::ordered_json root = {{"name", summary.name},
                                       {"network", summary.network},
                                       {"mean_dice", summary.mean_dice},
                                       {"dice", dice},
                                       {"loss", summary.loss},
                                       {"steps", summary.steps},
                                       {"resumed_at", summary.resumed_at},
                                       {"interrupted", summary.interrupted},
                                       {"step_ms", summary.step_ms},
                                       {"predicted_step_ms", summary.predicted_step_ms},
                                       {"busy", summary.busy},
                                       {"submit_us_per_task", summary.submit_us_per_task},
                                       {"peak_rss_mib", summary.peak_rss_mib},
                                       {"predicted_peak_mib", summary.predicted_peak_mib},
                                       {"total_seconds", summary.total_seconds},
                                       {"seed", summary.seed},
                                       {"ranks", summary.ranks},
                                       {"workers", summary.workers},
                                       {"plan", summary.plan},
                                       {"machine", summary.machine}};
  return root.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void write_summary(const RunSummary& summary, const std::filesystem::path& path) {
  write_file_atomically(path, to_json(summary));
}

bool says_finished(const std::filesystem::path& path, std::int64_t steps) {
  if (!std::filesystem::exists(path)) return false;
  const auto root =
      nlohmann::json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  return root.is_object() && root.value("steps", nlohmann::json()) == steps &&
         root.value("interrupted", nlohmann::json()) == false;
}

}  // namespace hpdlf::train
