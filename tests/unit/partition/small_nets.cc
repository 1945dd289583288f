#include "small_nets.hpp"

#include <cstring>

#include "base/philox.hpp"
#include "graph/autodiff.hpp"
#include "graph/builder.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::test {
namespace {

using graph::Builder;
using graph::Graph;
using graph::ValueId;

constexpr std::int64_t kClasses = 3;

ValueId class_weights(Graph& g) {
  const float weights[kClasses] = {0.5F, 1.0F, 1.5F};
  std::vector<std::byte> content(sizeof weights);
  std::memcpy(content.data(), weights, sizeof weights);
  return g.add_constant("class_weights", {DType::f32, {kClasses}}, std::move(content));
}

ValueId cross_entropy(Builder& b, ValueId logits, ValueId labels, bool weighted) {
  std::vector<ValueId> operands{logits, labels};
  if (weighted) operands.push_back(class_weights(b.graph()));
  const ValueId sums = b.op("ce_sums", "CrossEntropySums", operands);
  return b.op("ce", "CrossEntropyLoss", {sums});
}

/// Backward and the optimizer's nodes, as the trainer adds them.
void train(Graph& g, ValueId loss, bool adam) {
  const auto gradients = graph::differentiate(g, loss);
  const ValueId rate = g.add_input("lr", {DType::f32, {}});
  const ValueId step = adam ? g.add_input("step", {DType::f32, {}}) : graph::kNone;
  for (const auto& [parameter, gradient] : gradients) {
    const std::string name = g.value(parameter).name;
    const auto type = g.value(parameter).type;
    const ValueId m = g.add_state(name + ".m", type, {});
    std::vector<ValueId> states{m};
    if (adam) states.push_back(g.add_state(name + ".v", type, {}));
    std::vector<ValueId> operands{parameter, gradient};
    operands.insert(operands.end(), states.begin(), states.end());
    operands.push_back(rate);
    if (adam) operands.push_back(step);
    const auto node = adam ? g.add_node("AdamW", operands, {}, name + ".step")
                           : g.add_node("SGD", operands, {{"momentum", 0.9}}, name + ".step");
    g.node(node).phase = graph::Phase::update;
    g.update(parameter, g.output(node));
    for (std::size_t i = 0; i < states.size(); ++i)
      g.update(states[i], g.output(node, static_cast<int>(i) + 1));
  }
  g.fetch("loss", loss);
}

}  // namespace

// No bias right before a normalisation: its gradient is 0 but for rounding, and noise cannot be compared.
std::shared_ptr<const Graph> small_unet(std::int64_t n, std::int64_t depth) {
  auto g = std::make_shared<Graph>("small_unet");
  Builder b(*g);
  const ValueId x = g->add_input("x", {DType::f32, {n, depth, 6, 5, 2}});
  const ValueId labels = g->add_input("labels", {DType::u8, {n, depth, 6, 5}});
  const ValueId top = b.instance_norm(
      "norm0",
      b.conv("conv0", x,
             {.out_channels = 4, .kernel = {3, 3, 3}, .pads = {1, 1, 1}, .bias = false}),
      1e-5, "Relu");
  const ValueId down = b.instance_norm("norm1",
                                       b.conv("down", top,
                                              {.out_channels = 6,
                                               .kernel = {3, 3, 3},
                                               .strides = {2, 2, 1},
                                               .pads = {1, 1, 1},
                                               .bias = false}),
                                       1e-5, "LeakyRelu");
  const ValueId up =
      b.conv_transpose("up", down, {.out_channels = 4, .kernel = {2, 2, 1}, .strides = {2, 2, 1}});
  const ValueId part =
      b.conv("conv1.a", up, {.out_channels = 4, .kernel = {3, 1, 3}, .pads = {1, 0, 1}});
  const ValueId joined = b.conv(
      "conv1.b", top, {.out_channels = 4, .kernel = {3, 1, 3}, .pads = {1, 0, 1}, .bias = false});
  g->node(g->value(joined).producer).accumulate = part;
  const ValueId logits = b.conv("head", b.op("tanh", "Tanh", {joined}),
                                {.out_channels = kClasses, .kernel = {1, 1, 1}});
  const ValueId ce = cross_entropy(b, logits, labels, true);
  const ValueId dice_sums = b.op("dice_sums", "DiceSums", {logits, labels});
  const ValueId dice = b.op("dice", "DiceLoss", {dice_sums});
  g->fetch("dice_sums", dice_sums);
  g->fetch("logits", logits);
  train(*g, b.op("loss", "Add", {ce, dice}), false);
  return g;
}

std::shared_ptr<const Graph> small_classifier(std::int64_t n) {
  auto g = std::make_shared<Graph>("small_classifier");
  Builder b(*g);
  const ValueId x = g->add_input("x", {DType::f32, {n, 8, 8, 3}});
  const ValueId labels = g->add_input("labels", {DType::i64, {n, 2, 2}});
  const ValueId y = b.batch_norm(
      "norm",
      b.conv("conv", x, {.out_channels = 4, .kernel = {3, 3}, .pads = {1, 1}, .bias = false}),
      true);
  const ValueId pooled = b.op("pool", "MaxPool", {b.relu("relu", y)},
                              {{"kernel_shape", std::vector<std::int64_t>{2, 2}},
                               {"strides", std::vector<std::int64_t>{2, 2}}});
  const ValueId logits =
      b.conv("head", pooled, {.out_channels = kClasses, .kernel = {1, 1}, .strides = {2, 2}});
  train(*g, cross_entropy(b, logits, labels, false), true);
  return g;
}

std::shared_ptr<const Graph> small_chain(std::int64_t n) {
  auto g = std::make_shared<Graph>("small_chain");
  Builder b(*g);
  ValueId x = g->add_input("x", {DType::f32, {n, 8, 8, 4}});
  const ValueId labels = g->add_input("labels", {DType::i32, {n, 8, 8}});
  for (std::int64_t i = 0; i < 5; ++i) {
    const std::string name = "layer" + std::to_string(i);
    const Builder::LayerScope scope(b, name);
    x = b.conv(name + ".conv", x,
               {.out_channels = 4, .kernel = {3, 3}, .pads = {1, 1}, .bias = false});
    x = b.batch_norm(name + ".norm", x, true, 0.1, 1e-5, "Relu");
    x = b.op(name + ".dropout", "Dropout", {x}, {{"ratio", 0.25}, {"stream", i}});
  }
  const ValueId logits = b.conv("head", x, {.out_channels = kClasses, .kernel = {1, 1}});
  train(*g, cross_entropy(b, logits, labels, false), false);
  return g;
}

std::shared_ptr<const Graph> small_mlp(std::int64_t n) {
  auto g = std::make_shared<Graph>("small_mlp");
  Builder b(*g);
  const ValueId x = g->add_input("x", {DType::f32, {n, 7}});
  const ValueId labels = g->add_input("labels", {DType::i32, {n}});
  const ValueId logits = b.linear("fc2", b.relu("relu", b.linear("fc1", x, 10)), kClasses);
  train(*g, cross_entropy(b, logits, labels, false), false);
  return g;
}

std::shared_ptr<const Graph> small_transformer(std::int64_t n, std::int64_t tokens) {
  auto g = std::make_shared<Graph>("small_transformer");
  Builder b(*g);
  constexpr std::int64_t kChannels = 8, kWords = 5;
  const graph::TensorType type{DType::i32, {n, tokens}};
  const ValueId given = g->add_input("tokens", type), targets = g->add_input("targets", type);
  const ValueId table =
      g->add_parameter("table", {DType::f32, {kWords, kChannels}},
                       {.kind = graph::Initializer::Kind::normal, .a = 0, .b = 0.5});
  const ValueId x = b.op("embedding", "Gather", {table, given});
  const ValueId qkv = b.linear("qkv", b.layer_norm("ln", x), {.out_features = {4, 3, 2}});
  const ValueId mixed = b.linear("proj", b.op("attention", "SelfAttention", {qkv}),
                                 {.out_features = {kChannels}, .contracted = 2});
  const ValueId y = b.op("add", "Add", {x, mixed});
  const ValueId rows = b.op("target_rows", "Gather", {table, targets});
  const ValueId s = b.op("head", "LmHeadSums", {y, table, rows, targets});
  train(*g, b.op("loss", "LmHeadLoss", {s}, {{"tokens", n * tokens}}), false);
  return g;
}

std::shared_ptr<const Graph> convolutions(std::int64_t first, std::int64_t second,
                                          graph::Math math) {
  auto g = std::make_shared<Graph>("convolutions");
  Builder b(*g);
  ValueId x = g->add_input("x", {DType::f32, {1, 4, 16, 16, first}});
  for (const auto& [name, channels] : {std::pair("a", first), std::pair("b", second)})
    x = b.op(std::string(name) + ".relu", "Relu",
             {b.conv(name, x, {.out_channels = channels, .kernel = {3, 3, 3}, .pads = {1, 1, 1}})});
  train(*g, b.op("sum", "ReduceSum", {x}, {{"keepdims", std::int64_t{0}}}), false);
  graph::optimize(*g, {.math = math});
  return g;
}

std::map<ValueId, Tensor> random_inputs(const Graph& graph, std::uint64_t seed) {
  std::map<ValueId, Tensor> inputs;
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const auto& value = graph.values()[v];
    if (value.role != graph::Role::input) continue;
    const Philox random(seed + v);
    Tensor tensor(value.type);
    const auto fill = [&](auto elements, auto draw) {
      for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = draw(random.uniform(i));
    };
    const auto label = [](float u) { return static_cast<int>(u * kClasses); };
    switch (value.type.dtype) {
      case DType::u8:
        fill(tensor.as<std::uint8_t>(), label);
        break;
      case DType::i32:
        fill(tensor.as<std::int32_t>(), label);
        break;
      case DType::i64:
        fill(tensor.as<std::int64_t>(), label);
        break;
      default:
        fill(tensor.as<float>(), [](float u) { return 2 * u - 1; });
    }
    if (value.name == "lr") tensor.as<float>()[0] = 0.1F;
    if (value.name == "step") tensor.as<float>()[0] = 1;
    inputs.emplace(static_cast<ValueId>(v), std::move(tensor));
  }
  return inputs;
}

}  // namespace hpdlf::test
