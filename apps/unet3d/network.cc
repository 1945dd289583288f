#include "apps/unet3d/network.hpp"

#include <cstring>

#include "graph/autodiff.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::apps {
namespace {

using graph::Builder;
using graph::ValueId;

/// Conv 3x3x3 without bias -> InstanceNorm (affine) -> ReLU.
ValueId conv_block(Builder& b, const std::string& name, ValueId x, std::int64_t channels,
                   std::int64_t stride) {
  const ValueId y = b.conv(name + ".0", x,
                           {.out_channels = channels,
                            .kernel = {3, 3, 3},
                            .strides = {stride, stride, stride},
                            .pads = {1, 1, 1},
                            .bias = false});
  return b.instance_norm(name + ".1", y, 1e-5, "Relu");
}

/// Two blocks; the first may stride.
ValueId level(Builder& b, const std::string& name, ValueId x, std::int64_t channels,
              std::int64_t stride) {
  return conv_block(b, name + ".1", conv_block(b, name + ".0", x, channels, stride), channels, 1);
}

void check_extents(const graph::TensorType& x, std::size_t levels) {
  HPDLF_CHECK(x.extents.rank() == 5, "the 3-D U-Net takes [N, D, H, W, C], not {}", to_string(x));
  const std::int64_t multiple = std::int64_t{1} << (levels - 1);
  for (int i = 1; i <= 3; ++i)
    HPDLF_CHECK(x.extents[i] > 0 && x.extents[i] % multiple == 0,
                "a U-Net of {} levels halves its input {} times: extent {} of {} must be a "
                "multiple of {} (nearest: {})",
                levels, levels - 1, x.extents[i], to_string(x), multiple,
                (x.extents[i] + multiple - 1) / multiple * multiple);
}

}  // namespace

ValueId unet3d(Builder& b, ValueId x, const UNet3dOptions& options) {
  const auto& filters = options.filters;
  HPDLF_CHECK(filters.size() >= 2, "a U-Net needs at least 2 levels, `filters` has {}",
              filters.size());
  check_extents(b.type(x), filters.size());

  std::vector<ValueId> skips;
  {
    const Builder::LayerScope scope(b, "down0");
    skips.push_back(level(b, "inp", x, filters[0], 1));
  }
  for (std::size_t i = 1; i < filters.size(); ++i) {
    const Builder::LayerScope scope(b, fmt::format("down{}", i));
    skips.push_back(level(b, fmt::format("down.{}", i - 1), skips.back(), filters[i], 2));
  }
  ValueId y = skips.back();
  for (std::size_t i = 0; i + 1 < filters.size(); ++i) {
    const std::size_t l = filters.size() - 2 - i;
    const Builder::LayerScope scope(b, fmt::format("up{}", l));
    const ValueId up =
        b.conv_transpose(fmt::format("upc.{}", i), y,
                         {.out_channels = filters[l], .kernel = {2, 2, 2}, .strides = {2, 2, 2}});
    y = level(b, fmt::format("up.{}", i), b.concat(fmt::format("concat.{}", i), {up, skips[l]}),
              filters[l], 1);
  }
  const Builder::LayerScope scope(b, "head");
  return b.conv("head", y, {.out_channels = options.classes, .kernel = {1, 1, 1}});
}

ValueId segmentation_loss(Builder& b, ValueId logits, ValueId labels,
                          const SegmentationLossOptions& options) {
  const Builder::LayerScope scope(b, "loss");
  const std::size_t first = b.graph().nodes().size();
  const std::int64_t classes = b.type(logits).extents.back();
  std::vector<ValueId> operands{logits, labels};
  if (!options.class_weights.empty()) {
    HPDLF_CHECK(static_cast<std::int64_t>(options.class_weights.size()) == classes,
                "{} class weights for {} classes", options.class_weights.size(), classes);
    std::vector<std::byte> content(options.class_weights.size() * sizeof(float));
    std::memcpy(content.data(), options.class_weights.data(), content.size());
    operands.push_back(b.graph().add_constant("loss.class_weights", {DType::f32, Extents{classes}},
                                              std::move(content)));
  }
  const ValueId ce =
      b.op("loss.ce", "CrossEntropyLoss", {b.op("loss.ce_sums", "CrossEntropySums", operands)});
  const ValueId sums = b.op("loss.dice_sums", "DiceSums", {logits, labels},
                            {{"batch", std::int64_t{options.dice_over_batch ? 1 : 0}}});
  const ValueId dice =
      b.op("loss.dice", "DiceLoss", {sums},
           {{"smooth_nr", options.dice_smooth}, {"smooth_dr", options.dice_smooth}});
  ValueId loss = b.op("loss.sum", "Add", {ce, dice});
  if (options.scale != 1) {
    std::vector<std::byte> content(sizeof(float));
    const auto scale = static_cast<float>(options.scale);
    std::memcpy(content.data(), &scale, sizeof scale);
    loss = b.op("loss.scaled", "Mul",
                {loss, b.graph().add_constant("loss.scale", {DType::f32, {}}, std::move(content))});
  }
  for (std::size_t i = first; i < b.graph().nodes().size(); ++i)
    b.graph().node(static_cast<graph::NodeId>(i)).phase = graph::Phase::loss;
  b.graph().fetch("loss", loss);
  b.graph().fetch("dice_sums", sums);
  return loss;
}

std::shared_ptr<graph::Graph> unet3d_training_graph(const Extents& image, const UNet3dOptions& net,
                                                    const SegmentationLossOptions& loss,
                                                    const train::OptimizerOptions& optimizer) {
  auto graph = std::make_shared<graph::Graph>("unet3d");
  Builder b(*graph);
  const ValueId x = graph->add_input(kImageInput, {DType::f32, image});
  const ValueId labels =
      graph->add_input(kLabelsInput, {DType::u8, {image[0], image[1], image[2], image[3]}});
  const ValueId loss_value = segmentation_loss(b, unet3d(b, x, net), labels, loss);
  graph::split_concat_conv(*graph);
  train::add_optimizer(*graph, graph::differentiate(*graph, loss_value), optimizer);
  graph::optimize(*graph, net.math);
  return graph;
}

std::shared_ptr<graph::Graph> unet3d_inference_graph(const Extents& image,
                                                     const UNet3dOptions& net) {
  auto graph = std::make_shared<graph::Graph>("unet3d-inference");
  Builder b(*graph);
  const ValueId logits = unet3d(b, graph->add_input(kImageInput, {DType::f32, image}), net);
  graph->fetch(kProbabilities, b.op(kProbabilities, "Softmax", {logits}));
  graph::split_concat_conv(*graph);
  graph::optimize(*graph, net.math);
  return graph;
}

}  // namespace hpdlf::apps
