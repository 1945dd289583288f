// What training and planning share: the training graph, its plan and what it is predicted to cost.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>

#include "apps/unet3d/options.hpp"
#include "partition/plan.hpp"
#include "partition/recompute.hpp"
#include "partition/simulator.hpp"
#include "runtime/session.hpp"
#include "train/volume_dataset.hpp"

namespace hpdlf::apps {

/// One training step, planned, lowered and simulated.
struct PlannedStep {
  std::shared_ptr<const graph::Graph> graph;
  partition::Plan plan;
  std::shared_ptr<const partition::TaskGraph> tasks;
  partition::Prediction prediction;
};

/// Algorithms are chosen by their times in `model`.
[[nodiscard]] graph::Effort effort_of(const partition::CostModel& model);
/// The net of the options, its algorithms chosen so.
[[nodiscard]] UNet3dOptions measured_net(const UNet3dAppOptions& options,
                                         const partition::CostModel& model);
/// The training graph for batches of `window` [D, H, W] voxels; class weights from the training cases.
[[nodiscard]] std::shared_ptr<const graph::Graph> training_graph(const UNet3dAppOptions& options,
                                                                 const train::VolumeDataset& data,
                                                                 const Extents& window,
                                                                 const partition::CostModel& model);
struct StepRequest {
  std::string strategy = "auto";
  partition::Recompute recompute = partition::Recompute::off;
  bool has_limit = false;  ///< machine.memory_bytes is what was asked for: less need not be reached
};
/// @returns with `graph` changed where something is to be computed twice; ids of its values stay.
/// @throws Error if no plan fits machine.memory_bytes.
[[nodiscard]] PlannedStep plan_step(const std::shared_ptr<const graph::Graph>& graph,
                                    const partition::CostModel& model, const StepRequest& request);

/// What the options ask for.
[[nodiscard]] StepRequest step_request(const UNet3dAppOptions& options);

/// "unet3d 16-32-64-128, 1,401,333 parameters"
[[nodiscard]] std::string network_name(const UNet3dAppOptions& options, const graph::Graph& graph);
/// Floating-point operations of one step, by the algorithms that it was given.
[[nodiscard]] double step_flops(const graph::Graph& graph);
/// The most that a step holds of tiles that do not outlive it.
[[nodiscard]] std::int64_t transient_bytes(const PlannedStep& step, int rank);
/// This machine and its kernels as they are measured once, for `ranks` ranks of `workers` workers, with the memory that a rank may use.
/// @param workers  0: one a core.  @param memory_gib  0: what is left for it (runtime/usable_memory.hpp).
[[nodiscard]] partition::CostModel measured_model(int ranks, int workers, double memory_gib);
/// The same for the ranks and workers of a session; its ranks get the same.
[[nodiscard]] partition::CostModel measured_model(runtime::Session& session, double memory_gib);

}  // namespace hpdlf::apps
