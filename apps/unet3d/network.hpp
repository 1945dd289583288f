// 3-D U-Nets and their segmentation loss as graphs.
//
// Two variants of 3x3x3 conv without bias -> normalisation -> ReLU twice a level, ConvTranspose k2 s2 up:
//   mlperf   the MLPerf Training v2 image segmentation benchmark's: InstanceNorm, strided convolutions down
//   cicek    Cicek et al., "3D U-Net", MICCAI 2016, with same padding: BatchNorm, max-pooling down, and a level's first convolution
//            on the way down has half of its channels
// Parameters are named as in the PyTorch modules of the same nets (scripts/torch_bench.py), so that weights move between the two by name.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "graph/builder.hpp"
#include "graph/passes/pass.hpp"
#include "train/optimizer.hpp"

namespace hpdlf::apps {

struct UNet3dOptions {
  std::int64_t classes = 5;
  std::vector<std::int64_t> filters = {16, 32, 64, 128};  ///< one a level, top first
  enum class Variant : std::uint8_t { mlperf, cicek } variant = Variant::mlperf;
  graph::Optimization passes;
  DType dtype = DType::f32;  ///< of activations and products in training: f32 or bf16
};

/// x: [N, D, H, W, C] with D, H, W multiples of 2^(levels - 1) -> logits [N, D, H, W, classes].
/// @throws Error if a spatial extent is not such a multiple (names it and the nearest that is).
[[nodiscard]] graph::ValueId unet3d(graph::Builder& builder, graph::ValueId x,
                                    const UNet3dOptions& options);

struct SegmentationLossOptions {
  std::vector<float> class_weights;  ///< of the cross-entropy; empty: all 1
  bool dice_over_batch = true;  ///< sums over the batch before the ratio, else a ratio a sample
  double dice_smooth = 1;       ///< added to numerator and denominator
  double scale = 1;             ///< loss = scale * (cross-entropy + Dice loss)
};

/// logits [N, D, H, W, K], labels u8 [N, D, H, W] -> scalar: class-weighted cross-entropy + Dice loss over classes 1..K-1.
/// Fetches: "loss", and "dice_sums" f64 [N|1, 3, K] = (sum p t, sum p, sum t) a class, from which progress shows the soft Dice.
[[nodiscard]] graph::ValueId segmentation_loss(graph::Builder& builder, graph::ValueId logits,
                                               graph::ValueId labels,
                                               const SegmentationLossOptions& options);

/// Names of the graphs' inputs and of what they fetch.
inline constexpr const char* kImageInput = "image";             ///< f32 [N, D, H, W, C]
inline constexpr const char* kLabelsInput = "labels";           ///< u8 [N, D, H, W]
inline constexpr const char* kProbabilities = "probabilities";  ///< f32 [N, D, H, W, classes]

/// The inputs, the net and its loss in `graph`, no more; @returns the loss.
[[nodiscard]] graph::ValueId unet3d_with_loss(graph::Graph& graph, const Extents& image,
                                              const UNet3dOptions& net,
                                              const SegmentationLossOptions& loss);
/// Forward, loss, backward and optimizer of one step on images of `image` extents [N, D, H, W, C], with all graph passes applied.
[[nodiscard]] std::shared_ptr<graph::Graph> unet3d_training_graph(
    const Extents& image, const UNet3dOptions& net, const SegmentationLossOptions& loss,
    const train::OptimizerOptions& optimizer);
/// Forward and softmax only; same parameters by name.
[[nodiscard]] std::shared_ptr<graph::Graph> unet3d_inference_graph(const Extents& image,
                                                                   const UNet3dOptions& net);

}  // namespace hpdlf::apps
