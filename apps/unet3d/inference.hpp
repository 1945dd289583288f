// A trained U-Net that segments volumes: windows through an executor, blended, back on the input's grid.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "apps/unet3d/options.hpp"
#include "partition/cost_model.hpp"
#include "runtime/executor.hpp"
#include "train/volume_dataset.hpp"

namespace hpdlf::apps {

class UNet3dInference {
 public:
  /// Plans and binds the forward graph for windows of `window` [D, H, W] voxels and `channels` channels.
  UNet3dInference(runtime::Session& session, const partition::CostModel& model,
                  const UNet3dAppOptions& options, const Extents& window, std::int64_t channels);

  /// Copies the parameters from a training executor of the same net. Collective over the ranks.
  void load(runtime::Executor& training);
  /// Sets parameter `name` of the net. @throws Error if there is none or its type differs.
  void set_parameter(const std::string& name, const runtime::HostTensor& content);
  [[nodiscard]] const graph::Graph& graph() const { return *graph_; }

  /// Classes of a volume prepared as the training cases are (same resolution and normalisation).
  [[nodiscard]] train::LabelVolume segment(const train::Volume& image);
  /// Bytes outside of the executor that segmenting a volume of these extents [D, H, W, C] takes at its highest.
  [[nodiscard]] std::int64_t host_bytes(const Extents& image) const;

 private:
  std::shared_ptr<const graph::Graph> graph_;
  Extents window_;
  std::int64_t classes_;
  double overlap_;
  std::unique_ptr<runtime::Executor> executor_;
};

/// Labels of an image file on its own grid: prepared as the training data were (halves one by one if the net learned hemispheres), segmented,
/// and brought back to the file's resolution. `channels`: files separated by ';'.
[[nodiscard]] train::LabelVolume segment_file(UNet3dInference& net, const UNet3dAppOptions& options,
                                              const std::string& channels);

/// Extents [D, H, W] of a window that holds every one of `cases` whole (multiples of what the net can halve), or the configured patch.
[[nodiscard]] Extents window_extents(const UNet3dAppOptions& options,
                                     const std::vector<train::VolumeCase>& cases);

}  // namespace hpdlf::apps
