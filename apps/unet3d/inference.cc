#include "apps/unet3d/inference.hpp"

#include <algorithm>
#include <cstring>

#include "apps/unet3d/network.hpp"
#include "apps/unet3d/program.hpp"
#include "train/nifti.hpp"
#include "train/sliding_window.hpp"

namespace hpdlf::apps {
namespace {

using train::LabelVolume;
using train::Volume;

Box half_of(const Extents& extents, bool low) {
  const std::int64_t middle = extents[0] / 2;
  Box region = Box::whole({extents[0], extents[1], extents[2]});
  if (low)
    region.hi[0] = middle;
  else
    region.lo[0] = extents[0] - middle;
  return region;
}

/// Copies `part` into `whole` with its low corner at `lo`.
void paste(LabelVolume& whole, const LabelVolume& part, const Extents& lo) {
  for (std::int64_t x = 0; x < part.extents[0]; ++x)
    for (std::int64_t y = 0; y < part.extents[1]; ++y) {
      const auto from = (x * part.extents[1] + y) * part.extents[2];
      const auto to = ((x + lo[0]) * whole.extents[1] + y + lo[1]) * whole.extents[2] + lo[2];
      std::copy_n(part.voxels.begin() + from, part.extents[2], whole.voxels.begin() + to);
    }
}

/// A net that learned left halves sees the right one mirrored. The middle plane of an odd volume keeps class 0.
LabelVolume segment_halves(UNet3dInference& net, const Volume& image, bool normalise) {
  LabelVolume labels{{image.extents[0], image.extents[1], image.extents[2]}, image.affine, {}};
  labels.voxels.assign(static_cast<std::size_t>(labels.extents.elements()), 0);
  for (const bool left : {true, false}) {
    const Box region = half_of(labels.extents, left);
    Volume half = train::crop(image, region);
    if (normalise) train::normalise_z_score(half);
    LabelVolume part = net.segment(left ? half : train::mirror_x(half));
    paste(labels, left ? part : train::mirror_x(part), region.lo);
  }
  return labels;
}

/// Nearest neighbour from blocks of `factor` voxels back to `extents`.
LabelVolume upsample(const LabelVolume& coarse, std::int64_t factor, const Extents& extents,
                     const train::Affine& affine) {
  LabelVolume fine{{extents[0], extents[1], extents[2]}, affine, {}};
  fine.voxels.reserve(static_cast<std::size_t>(fine.extents.elements()));
  const auto at = [&](std::int64_t i, int axis) {
    return std::min(i / factor, coarse.extents[axis] - 1);
  };
  for (std::int64_t x = 0; x < extents[0]; ++x)
    for (std::int64_t y = 0; y < extents[1]; ++y)
      for (std::int64_t z = 0; z < extents[2]; ++z)
        fine.voxels.push_back(coarse.voxels[static_cast<std::size_t>(
            (at(x, 0) * coarse.extents[1] + at(y, 1)) * coarse.extents[2] + at(z, 2))]);
  return fine;
}

}  // namespace

UNet3dInference::UNet3dInference(runtime::Session& session, const partition::CostModel& model,
                                 const UNet3dAppOptions& options, const Extents& window,
                                 std::int64_t channels)
    : graph_(unet3d_inference_graph({1, window[0], window[1], window[2], channels},
                                    measured_net(options, model))),
      window_(window),
      classes_(options.net.classes),
      overlap_(options.overlap) {
  executor_ =
      std::make_unique<runtime::Executor>(session, plan_step(graph_, model, {}).tasks, model);
  executor_->initialise();
}

void UNet3dInference::load(runtime::Executor& training) {
  const graph::Graph& from = *training.task_graph().graph;
  for (const auto& value : graph_->values())
    if (value.role == graph::Role::parameter)
      set_parameter(value.name, *training.read(from.find(value.name)));
}

void UNet3dInference::set_parameter(const std::string& name, const runtime::HostTensor& content) {
  const graph::ValueId id = graph_->find(name);
  HPDLF_CHECK(graph_->value(id).type == content.type, "parameter {} is {}, the given one {}", name,
              to_string(graph_->value(id).type), to_string(content.type));
  executor_->write(id, content);
}

LabelVolume UNet3dInference::segment(const Volume& image) {
  const graph::ValueId input = graph_->find(kImageInput);
  return train::segment(image, window_, classes_, overlap_, [&](std::span<const float> window) {
    auto tensor = std::make_shared<runtime::HostTensor>(graph_->value(input).type);
    std::memcpy(tensor->data.data(), window.data(), tensor->data.size());
    const auto result = executor_->wait(executor_->submit({{input, tensor}}));
    const auto probabilities = result.fetched.at(kProbabilities)->as<float>();
    return std::vector<float>(probabilities.begin(), probabilities.end());
  });
}

std::int64_t UNet3dInference::host_bytes(const Extents& image) const {
  const auto fetched = static_cast<std::int64_t>(sizeof(float)) * window_.elements() * classes_;
  return fetched + train::segment_bytes(image, window_, classes_);
}

LabelVolume segment_file(UNet3dInference& net, const UNet3dAppOptions& options,
                         const std::string& channels) {
  train::VolumeDataOptions native = options.data;
  native.downsample = 1;
  native.normalise = false;
  const Volume file = train::load_image(channels, native);
  Volume image =
      options.data.downsample > 1 ? train::downsample(file, options.data.downsample) : file;
  LabelVolume labels;
  if (options.data.split == "hemispheres") {
    labels = segment_halves(net, image, options.data.normalise);
  } else {
    if (options.data.normalise) train::normalise_z_score(image);
    labels = net.segment(image);
  }
  return upsample(labels, options.data.downsample, file.extents, file.affine);
}

Extents window_extents(const UNet3dAppOptions& options,
                       const std::vector<train::VolumeCase>& cases) {
  if (!options.patch.empty()) return Extents(std::span(options.patch));
  // As large as the net can halve, and at least 16 so that every level has something to normalise over.
  const std::int64_t multiple =
      std::max<std::int64_t>(16, std::int64_t{1} << (options.net.filters.size() - 1));
  Extents window{1, 1, 1};
  for (const auto& c : cases)
    for (int i = 0; i < 3; ++i)
      window[i] = std::max(window[i], (c.image.extents[i] + multiple - 1) / multiple * multiple);
  return window;
}

}  // namespace hpdlf::apps
