#include "apps/unet3d/program.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/console.hpp"
#include "base/units.hpp"
#include "graph/op_spec.hpp"
#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "runtime/calibrate.hpp"
#include "runtime/paused_workers.hpp"
#include "runtime/session.hpp"

namespace hpdlf::apps {

graph::Effort effort_of(const partition::CostModel& model) {
  return [model](const graph::OpCall& call) { return model.seconds(call); };
}

UNet3dOptions measured_net(const UNet3dAppOptions& options, const partition::CostModel& model) {
  UNet3dOptions net = options.net;
  net.passes.effort = effort_of(model);
  return net;
}

std::shared_ptr<const graph::Graph> training_graph(const UNet3dAppOptions& options,
                                                   const train::VolumeDataset& data,
                                                   const Extents& window,
                                                   const partition::CostModel& model) {
  SegmentationLossOptions loss = options.loss;
  if (options.weighted_loss) {
    // Frequencies as the net sees them: whole volumes come padded with background.
    std::vector<train::LabelVolume> padded;
    std::vector<const train::LabelVolume*> labels;
    padded.reserve(data.train.size());
    for (const auto& c : data.train) {
      padded.push_back(options.patch.empty() ? train::pad_to(c.labels, 1, window) : c.labels);
      labels.push_back(&padded.back());
    }
    loss.class_weights = train::class_weights(labels, options.net.classes);
  }
  const std::int64_t channels = data.train.front().image.extents[3];
  return unet3d_training_graph({options.batch, window[0], window[1], window[2], channels},
                               measured_net(options, model), loss, options.optimizer);
}

namespace {

/// The fastest plan with as much computed twice as was asked for. What does not fit then is planned for little memory in the first place.
partition::Recomputation plan_and_save(const std::shared_ptr<const graph::Graph>& graph,
                                       const partition::CostModel& model,
                                       const StepRequest& request) {
  const std::int64_t limit = model.machine().memory_bytes;
  const partition::RecomputeRequest save{.enough_bytes = request.has_limit ? limit : 0};
  const partition::Plan fastest =
      make_plan(graph, model.without_memory_limit(), {.strategy = request.strategy});
  partition::Recomputation saved = save_memory(graph, fastest, model, save);
  if (limit == 0 || saved.peak_bytes <= limit) return saved;
  try {
    return save_memory(graph, make_plan(graph, model, {.strategy = request.strategy}), model, save);
  } catch (Error& error) {
    error.add_context(
        fmt::format("looking for a plan that needs less than {:.1f} MiB, as the fastest "
                    "does with results computed twice",
                    mib(saved.peak_bytes)));
    throw;
  }
}

}  // namespace

StepRequest step_request(const UNet3dAppOptions& options) {
  return {.strategy = options.strategy,
          .recompute = options.recompute,
          .has_limit = options.memory_gib > 0};
}

PlannedStep plan_step(const std::shared_ptr<const graph::Graph>& graph,
                      const partition::CostModel& model, const StepRequest& request) {
  const runtime::PausedWorkers paused;
  PlannedStep step{.graph = graph, .plan = {}, .tasks = {}, .prediction = {}};
  if (request.recompute == partition::Recompute::off) {
    step.plan = partition::make_plan(graph, model, {.strategy = request.strategy});
  } else {
    partition::Recomputation saved = plan_and_save(graph, model, request);
    step.graph = std::move(saved.graph);
    step.plan = std::move(saved.plan);
  }
  auto tasks =
      std::make_shared<partition::TaskGraph>(partition::lower(step.graph, step.plan, model));
  step.prediction = partition::simulate(*tasks, model);
  step.tasks = std::move(tasks);
  return step;
}

std::string network_name(const UNet3dAppOptions& options, const graph::Graph& graph) {
  return fmt::format("unet3d {}, {} parameters", fmt::join(options.net.filters, "-"),
                     fmt::group_digits(graph.parameter_count()));
}

double step_flops(const graph::Graph& graph) {
  double flops = 0;
  for (const auto& node : graph.nodes()) flops += cost_of(call_of(graph, node)).flops;
  return flops;
}

namespace {

partition::CostModel model_of(int ranks, int workers, double memory_gib,
                              runtime::Session* session) {
  const auto file = runtime::calibration_file();
  auto times = std::make_shared<runtime::Calibration>(file, workers, session, [file] {
    say_line(stderr,
             fmt::format("measuring kernels that this machine has not run before; kept in {}",
                         file.string()));
  });
  partition::Machine machine = times->machine(ranks);
  if (memory_gib > 0) machine.memory_bytes = static_cast<std::int64_t>(memory_gib * (1 << 30));
  return partition::CostModel(std::move(machine), std::move(times));
}

}  // namespace

partition::CostModel measured_model(int ranks, int workers, double memory_gib) {
  return model_of(ranks, workers > 0 ? workers : runtime::runtime_report().cores, memory_gib,
                  nullptr);
}

partition::CostModel measured_model(runtime::Session& session, double memory_gib) {
  return model_of(session.ranks(), session.cpu_workers(), memory_gib, &session);
}

std::int64_t transient_bytes(const PlannedStep& step, int rank) {
  std::int64_t bytes = step.prediction.peak_bytes[static_cast<std::size_t>(rank)];
  for (const auto& tile : step.tasks->tiles)
    if (tile.is_persistent() && tile.owner == rank) bytes -= tile.bytes();
  return bytes;
}

}  // namespace hpdlf::apps
