#include "apps/unet3d/network.hpp"

#include <cstring>

#include "graph/passes/pass.hpp"
#include "train/training_graph.hpp"

namespace hpdlf::apps {
namespace {

using graph::Builder;
using graph::ValueId;

/// Builds the levels of one variant; what differs between the variants is said here.
class UNet3dBuilder {
 public:
  UNet3dBuilder(Builder& builder, const UNet3dOptions& options)
      : b_(builder), filters_(options.filters), variant_(options.variant) {}

  /// Level `i` of the way down, from the one above it.
  ValueId down(std::size_t i, ValueId x) {
    const Builder::LayerScope scope(b_, fmt::format("down{}", i));
    if (is_cicek()) {
      const std::string name = fmt::format("enc.{}", i);
      if (i > 0) x = b_.max_pool(name + ".pool", x, {2, 2, 2});
      HPDLF_CHECK(filters_[i] % 2 == 0,
                  "a level of the cicek net has an even number of filters, not {}", filters_[i]);
      return level(name, x, {filters_[i] / 2, filters_[i]});
    }
    const std::string name = i == 0 ? "inp" : fmt::format("down.{}", i - 1);
    return level(name, x, {filters_[i], filters_[i]}, i == 0 ? 1 : 2);
  }

  /// Level `l` of the way up, step `i` of it, from the one below and the skip.
  ValueId up(std::size_t i, std::size_t l, ValueId below, ValueId skip) {
    const Builder::LayerScope scope(b_, fmt::format("up{}", l));
    const ValueId wide = b_.conv_transpose(fmt::format("upc.{}", i), below,
                                           {.out_channels = filters_[is_cicek() ? l + 1 : l],
                                            .kernel = {2, 2, 2},
                                            .strides = {2, 2, 2}});
    return level(fmt::format("{}.{}", is_cicek() ? "dec" : "up", i),
                 b_.concat(fmt::format("concat.{}", i), {wide, skip}), {filters_[l], filters_[l]});
  }

 private:
  struct Channels {
    std::int64_t first, second;
  };

  [[nodiscard]] bool is_cicek() const { return variant_ == UNet3dOptions::Variant::cicek; }

  /// Conv 3x3x3 without bias -> normalisation (affine) -> ReLU.
  ValueId conv_block(const std::string& name, ValueId x, std::int64_t channels,
                     std::int64_t stride) {
    const ValueId y = b_.conv(name + ".0", x,
                              {.out_channels = channels,
                               .kernel = {3, 3, 3},
                               .strides = {stride, stride, stride},
                               .pads = {1, 1, 1},
                               .bias = false});
    if (is_cicek()) return b_.batch_norm(name + ".1", y, /*training=*/true, 0.1, 1e-5, "Relu");
    return b_.instance_norm(name + ".1", y, 1e-5, "Relu");
  }

  /// Two blocks; the first may stride.
  ValueId level(const std::string& name, ValueId x, Channels channels, std::int64_t stride = 1) {
    return conv_block(name + ".1", conv_block(name + ".0", x, channels.first, stride),
                      channels.second, 1);
  }

  Builder& b_;
  const std::vector<std::int64_t>& filters_;
  UNet3dOptions::Variant variant_;
};

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

  UNet3dBuilder net(b, options);
  std::vector<ValueId> skips;
  for (std::size_t i = 0; i < filters.size(); ++i)
    skips.push_back(net.down(i, skips.empty() ? x : skips.back()));
  ValueId y = skips.back();
  for (std::size_t i = 0; i + 1 < filters.size(); ++i) {
    const std::size_t l = filters.size() - 2 - i;
    y = net.up(i, l, y, skips[l]);
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

ValueId unet3d_with_loss(graph::Graph& graph, const Extents& image, const UNet3dOptions& net,
                         const SegmentationLossOptions& loss) {
  Builder b(graph);
  const ValueId x = graph.add_input(kImageInput, {DType::f32, image});
  const ValueId labels =
      graph.add_input(kLabelsInput, {DType::u8, {image[0], image[1], image[2], image[3]}});
  return segmentation_loss(b, unet3d(b, x, net), labels, loss);
}

std::shared_ptr<graph::Graph> unet3d_training_graph(const Extents& image, const UNet3dOptions& net,
                                                    const SegmentationLossOptions& loss,
                                                    const train::OptimizerOptions& optimizer) {
  auto graph = std::make_shared<graph::Graph>("unet3d");
  train::complete_training_graph(*graph, unet3d_with_loss(*graph, image, net, loss), optimizer,
                                 net.passes, net.dtype);
  return graph;
}

std::shared_ptr<graph::Graph> unet3d_inference_graph(const Extents& image,
                                                     const UNet3dOptions& net) {
  auto graph = std::make_shared<graph::Graph>("unet3d-inference");
  Builder b(*graph);
  const ValueId logits = unet3d(b, graph->add_input(kImageInput, {DType::f32, image}), net);
  graph->fetch(kProbabilities, b.op(kProbabilities, "Softmax", {logits}));
  graph::split_concat_conv(*graph);
  graph::optimize(*graph, net.passes);
  return graph;
}

}  // namespace hpdlf::apps
