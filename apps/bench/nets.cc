#include "apps/bench/nets.hpp"

#include <fmt/ranges.h>

#include "apps/transformer/network.hpp"
#include "apps/unet3d/network.hpp"
#include "base/hash.hpp"
#include "base/nearest.hpp"
#include "base/philox.hpp"
#include "graph/builder.hpp"

namespace hpdlf::apps {
namespace {

using graph::Builder;
using graph::ValueId;

constexpr train::OptimizerOptions sgd() {
  return {.name = "sgd", .weight_decay = 0, .momentum = 0.9};
}
constexpr double kSgdRate = 0.01;

std::int64_t or_default(std::int64_t given, std::int64_t fallback) {
  return given > 0 ? given : fallback;
}

/// Standard normal numbers for the input `name`.
runtime::HostTensorPtr normal_numbers(const graph::Graph& graph, const char* name) {
  auto tensor = std::make_shared<runtime::HostTensor>(graph.value(graph.find(name)).type);
  const Philox random(Hash().add(name).value());
  std::uint64_t i = 0;
  for (float& x : tensor->as<float>()) x = static_cast<float>(random.normal(i++));
  return tensor;
}

/// Classes (or tokens) 0 .. `classes` - 1, all as likely, for the input `name`.
template <class T>
runtime::HostTensorPtr random_labels(const graph::Graph& graph, const char* name,
                                     std::int64_t classes) {
  auto tensor = std::make_shared<runtime::HostTensor>(graph.value(graph.find(name)).type);
  const Philox random(Hash().add(name).value());
  std::uint64_t i = 0;
  for (T& k : tensor->as<T>())
    k = static_cast<T>(random.uniform(i++) * static_cast<float>(classes));
  return tensor;
}

struct Segmentation {
  Extents image;  ///< [N, D, H, W, C]
  UNet3dOptions net;
  SegmentationLossOptions loss;
  train::OptimizerOptions optimizer;
  double learning_rate;
};

BenchNet segmentation(const Segmentation& s) {
  BenchNet net{.graph = std::make_shared<graph::Graph>("unet3d"),
               .optimizer = s.optimizer,
               .learning_rate = s.learning_rate,
               .size = {.size = s.image[3], .batch = s.image[0]}};
  net.loss = unet3d_with_loss(*net.graph, s.image, s.net, s.loss);
  net.inputs = {
      {kImageInput, normal_numbers(*net.graph, kImageInput)},
      {kLabelsInput, random_labels<std::uint8_t>(*net.graph, kLabelsInput, s.net.classes)}};
  return net;
}

/// (cross-entropy + Dice of each sample) / 2, on cubes of 64 voxels.
BenchNet three_classes(const BenchSize& size, UNet3dOptions net) {
  constexpr std::int64_t kCube = 64;
  constexpr double kSmooth = 1e-6;
  const std::int64_t n = or_default(size.size, kCube);
  net.classes = 3;
  return segmentation({.image = {or_default(size.batch, 1), n, n, n, 1},
                       .net = std::move(net),
                       .loss = {.dice_over_batch = false, .dice_smooth = kSmooth, .scale = 0.5},
                       .optimizer = sgd(),
                       .learning_rate = kSgdRate});
}

BenchNet mlperf(const BenchSize& size) {
  return three_classes(size, {.filters = {32, 64, 128, 256, 320, 320}});
}

BenchNet cicek(const BenchSize& size) {
  return three_classes(size,
                       {.filters = {64, 128, 256, 512}, .variant = UNet3dOptions::Variant::cicek});
}

/// The step of apps/unet3d/unet3d.toml: a whole hemisphere of 2 mm voxels unless `size` is given.
BenchNet unet3d_app(const BenchSize& size) {
  const std::int64_t n = size.size;
  return segmentation({.image = {or_default(size.batch, 1), or_default(n, 48), or_default(n, 112),
                                 or_default(n, 96), 1},
                       .net = {},
                       .loss = {.class_weights = {0.4F, 0.8F, 1.1F, 1.6F, 1.3F}},
                       .optimizer = {.name = "adamw", .weight_decay = 0.01},
                       .learning_rate = 2e-3});
}

BenchNet mlp(const BenchSize& size) {
  constexpr std::int64_t kFeatures = 784, kClasses = 10, kBatch = 64;
  const std::int64_t n = or_default(size.batch, kBatch);
  BenchNet net{.graph = std::make_shared<graph::Graph>("mlp"),
               .optimizer = sgd(),
               .learning_rate = kSgdRate,
               .size = {.batch = n}};
  Builder b(*net.graph);
  ValueId x = net.graph->add_input("x", {DType::f32, {n, kFeatures}});
  const ValueId labels = net.graph->add_input("labels", {DType::u8, {n}});
  x = b.relu("relu0", b.linear("0", x, 128));
  x = b.relu("relu1", b.linear("2", x, 64));
  x = b.linear("4", x, kClasses);
  net.loss = b.op("loss", "CrossEntropyLoss", {b.op("sums", "CrossEntropySums", {x, labels})});
  net.graph->fetch("loss", net.loss);
  net.inputs = {{"x", normal_numbers(*net.graph, "x")},
                {"labels", random_labels<std::uint8_t>(*net.graph, "labels", kClasses)}};
  return net;
}

/// GPT-2 124M on 4 sequences of 64 tokens; any token may follow any.
BenchNet gpt2(const BenchSize& size) {
  constexpr std::int64_t kBatch = 4, kTokens = 64;
  const std::int64_t n = or_default(size.batch, kBatch), t = or_default(size.seq, kTokens);
  const Gpt2Options options;
  BenchNet net{.graph = std::make_shared<graph::Graph>("gpt2"),
               .optimizer = {.name = "adamw", .weight_decay = 0.1},
               .learning_rate = 3e-4,
               .size = {.batch = n, .seq = t}};
  net.loss = gpt2_with_loss(*net.graph, n, t, options);
  for (const char* input : {kTokensInput, kTargetsInput})
    net.inputs[input] = random_labels<std::int32_t>(*net.graph, input, options.vocabulary);
  return net;
}

struct Entry {
  const char *name, *doc;
  BenchNet (*make)(const BenchSize&);
  bool has_size = false, has_seq = false;  ///< what of BenchSize it takes beside the batch
};

void check_size(const Entry& entry, const BenchSize& size) {
  HPDLF_CHECK(size.size == 0 || entry.has_size, "{} has no images whose size could be {}",
              entry.name, size.size);
  HPDLF_CHECK(size.seq == 0 || entry.has_seq, "{} has no sequences of {} tokens", entry.name,
              size.seq);
}

/// The one list of nets.
constexpr Entry kNets[] = {
    {.name = "mlperf",
     .doc = "MLPerf 3-D U-Net, filters 32-64-128-256-320-320, 3 classes; 64^3 voxels",
     .make = mlperf,
     .has_size = true},
    {.name = "cicek",
     .doc = "Cicek et al. 2016 3-D U-Net, 32/64 to 256/512, 3 classes; 64^3 voxels",
     .make = cicek,
     .has_size = true},
    {.name = "unet3d",
     .doc = "the step of apps/unet3d/unet3d.toml; 48 x 112 x 96 voxels",
     .make = unet3d_app,
     .has_size = true},
    {.name = "gpt2",
     .doc = "GPT-2 124M; --batch 4 sequences of --seq 64 tokens",
     .make = gpt2,
     .has_seq = true},
    {.name = "mlp",
     .doc = "784-128-64-10, batch 64: the worst case of a task runtime",
     .make = mlp},
};

}  // namespace

BenchNet make_bench_net(const std::string& name, const BenchSize& size) {
  std::vector<std::string> names;
  for (const Entry& entry : kNets) {
    names.emplace_back(entry.name);
    if (name != entry.name) continue;
    check_size(entry, size);
    return entry.make(size);
  }
  throw Error(fmt::format("unknown net `{}`{}", name, did_you_mean(name, names)),
              fmt::format("the nets are {}", fmt::join(names, ", ")));
}

std::vector<BenchNetInfo> bench_nets() {
  std::vector<BenchNetInfo> nets;
  for (const Entry& entry : kNets) nets.push_back({entry.name, entry.doc});
  return nets;
}

}  // namespace hpdlf::apps
