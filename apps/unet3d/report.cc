#include "apps/unet3d/report.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/chrono.h>
#include <map>

#include "train/report.hpp"

namespace hpdlf::apps {
namespace {

void add_curves(const RunReport& run, train::ReportData& report) {
  const History& history = run.training.history();
  report.train_loss.name = "training loss";
  for (const auto& s : history.steps)
    report.train_loss.points.emplace_back(static_cast<double>(s.step), s.loss);
  report.mean_dice.name = "mean";
  for (std::size_t k = 1; k < run.options.data.classes.size(); ++k)
    report.dice.push_back({run.options.data.classes[k], {}});
  for (const auto& v : history.validations) {
    const auto step = static_cast<double>(v.step);
    report.mean_dice.points.emplace_back(step, v.mean());
    for (std::size_t k = 0; k < v.dice.size(); ++k)
      report.dice[k].points.emplace_back(step, v.dice[k]);
  }
}

void add_slices(const RunReport& run, train::ReportData& report) {
  if (run.training.predictions().empty()) return;
  const train::VolumeCase& c = run.data.validation.front();
  const std::int64_t channels = c.image.extents[3];
  std::vector<float> first_channel;
  for (std::size_t i = 0; i < c.image.voxels.size(); i += static_cast<std::size_t>(channels))
    first_channel.push_back(c.image.voxels[i]);
  report.slices =
      train::render_slices({.extents = {c.image.extents[0], c.image.extents[1], c.image.extents[2]},
                            .spacing_mm = train::spacing(c.image.affine),
                            .image = first_channel,
                            .truth = c.labels.voxels,
                            .prediction = run.training.predictions().front().voxels});
}

/// Which column of the table a task's time belongs to.
double& column_of(train::LayerTime& layer, graph::Phase phase) {
  if (phase == graph::Phase::update) return layer.update_ms;
  if (phase == graph::Phase::backward || phase == graph::Phase::reduce) return layer.backward_ms;
  return layer.forward_ms;
}

void add_times(const RunReport& run, train::ReportData& report) {
  if (run.times.empty()) return;  // resumed after its last step
  const partition::TaskGraph& tasks = *run.step.tasks;
  std::map<std::string, std::size_t> row;
  for (const auto& node : run.step.graph->nodes())
    if (!node.layer.empty() && row.emplace(node.layer, report.layers.size()).second)
      report.layers.push_back({.layer = node.layer});
  for (const auto& time : run.times) {
    const partition::Task& task = tasks.tasks[static_cast<std::size_t>(time.task)];
    if (task.phase == graph::Phase::load) continue;  // runs ahead, during the step before
    report.timeline.push_back({time.worker, time.start_us, time.end_us, tasks.describe(task),
                               std::string(graph::name_of(task.phase))});
    if (task.node == graph::kNone) continue;
    const auto at = row.find(run.step.graph->node(task.node).layer);
    if (at == row.end()) continue;
    train::LayerTime& layer = report.layers[at->second];
    column_of(layer, task.phase) += (time.end_us - time.start_us) * 1e-3;
    layer.predicted_ms += run.model.seconds(task) * 1e3;
  }
}

}  // namespace

void write_report(const std::filesystem::path& path, const RunReport& run) {
  train::ReportData report{.summary = run.summary};
  report.date = fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(std::time(nullptr)));
  const auto& first = run.data.train.front();
  report.facts = {
      {"Data",
       fmt::format("{} training and {} validation case(s), {} x {} x {} voxels of {:.1f} mm",
                   run.data.train.size(), run.data.validation.size(), first.image.extents[0],
                   first.image.extents[1], first.image.extents[2],
                   train::spacing(first.image.affine)[0])},
      {"Work", fmt::format("{:.1f} GFLOP a step in {} tasks", step_flops(*run.step.graph) * 1e-9,
                           run.step.tasks->tasks.size())}};
  add_curves(run, report);
  add_slices(run, report);
  add_times(run, report);
  train::write_report(report, path);
}

}  // namespace hpdlf::apps
