// `hpdlf plan`: what a step would cost, before anything runs.
#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/unet3d/app.hpp"
#include "apps/unet3d/inference.hpp"
#include "apps/unet3d/program.hpp"
#include "base/atomic_file.hpp"
#include "base/units.hpp"
#include "partition/planner.hpp"

namespace hpdlf::apps {
namespace {

struct Row {
  std::string strategy, reason;
  double ms = 0;
  std::int64_t peak_bytes = 0;  ///< of the fullest rank
  std::size_t tasks = 0;
  bool fits = true;

  [[nodiscard]] double peak_mib() const { return mib(peak_bytes); }
};

Row row_of(const std::string& strategy, const PlannedStep& step) {
  return {strategy, step.plan.reason, step.prediction.seconds * 1e3,
          std::ranges::max(step.prediction.peak_bytes), step.tasks->tasks.size()};
}

/// The row of a strategy to compare with: where it does not fit, what it would be with more memory.
Row row_beside(const std::shared_ptr<const graph::Graph>& graph, const partition::CostModel& model,
               const StepRequest& request) {
  try {
    return row_of(request.strategy, plan_step(graph, model, request));
  } catch (const Error&) {
    Row row = row_of(request.strategy, plan_step(graph, model.without_memory_limit(), request));
    row.fits = row.peak_bytes <= model.machine().memory_bytes;
    if (row.fits) throw;
    return row;
  }
}

}  // namespace

int plan_unet3d(const PlanRequest& request) {
  Config config = Config::from_file(request.config, request.overrides);
  const UNet3dAppOptions options = read_options(config);
  const train::VolumeDataset data = train::load_volumes(options.data);
  const partition::CostModel model =
      measured_model(request.ranks, static_cast<int>(options.workers), options.memory_gib);
  const auto graph = training_graph(options, data, window_extents(options, data.train), model);

  StepRequest step = step_request(options);
  const PlannedStep chosen = plan_step(graph, model, step);
  std::vector<Row> rows{row_of(options.strategy, chosen)};
  for (const std::string& simple : partition::strategy_names())
    if (simple != options.strategy) {
      step.strategy = simple;
      rows.push_back(row_beside(graph, model, step));
    }

  if (!request.output.empty())
    write_file_atomically(request.output, to_json(chosen.plan, *chosen.graph));
  if (request.json) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& r : rows)
      list.push_back({{"strategy", r.strategy},
                      {"predicted_step_ms", r.ms},
                      {"predicted_peak_mib", r.peak_mib()},
                      {"fits", r.fits},
                      {"tasks", r.tasks},
                      {"reason", r.reason}});
    fmt::print("{}\n", list.dump(2));
    return 0;
  }
  fmt::print("{}; {:.1f} GFLOP a step; {} rank(s) x {} worker(s) of {}\n\n",
             network_name(options, *graph), step_flops(*chosen.graph) * 1e-9, model.machine().ranks,
             model.machine().workers, model.machine().name);
  fmt::print("  {:<12} {:>12} {:>14} {:>8}\n", "strategy", "ms a step", "MiB a rank", "tasks");
  for (const auto& r : rows)
    fmt::print("  {:<12} {:>12.0f} {:>14.0f} {:>8}{}\n", r.strategy, r.ms, r.peak_mib(), r.tasks,
               r.fits ? ""
                      : fmt::format("  does not fit: {:.1f} MiB of {:.1f} that may be used",
                                    r.peak_mib(), mib(model.machine().memory_bytes)));
  fmt::print("\nchosen: {}\n", rows.front().reason);
  if (!request.output.empty()) fmt::print("plan written to {}\n", request.output.string());
  return 0;
}

}  // namespace hpdlf::apps
