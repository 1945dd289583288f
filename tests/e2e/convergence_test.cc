// Cheaper arithmetic learns as fast: over three seeds bf16 and Winograd's convolutions end where f32 and direct convolutions do, as near
// as these are to each other from seed to seed.
#include <algorithm>
#include <cmath>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <numeric>
#include <random>

#include "apps/transformer/network.hpp"
#include "apps/unet3d/network.hpp"
#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "runtime/executor.hpp"

namespace hpdlf::test {
namespace {

constexpr int kSeeds = 3;
constexpr int kLastSteps = 10;  ///< whose mean loss is the result of a run

using Graph = std::shared_ptr<const graph::Graph>;
/// Gives the content of a step's inputs by name; the same for each (seed, step).
using Data = std::map<std::string, runtime::HostTensorPtr> (*)(const graph::Graph& graph,
                                                               std::uint64_t seed, int step);

runtime::HostTensorPtr scalar(float value) {
  auto tensor = std::make_shared<runtime::HostTensor>(graph::TensorType{DType::f32, {}});
  tensor->as<float>()[0] = value;
  return tensor;
}

/// Mean loss of the last steps.
double trained(runtime::Session& session, const Graph& graph, Data data, std::uint64_t seed,
               int steps, float learning_rate) {
  partition::Machine machine;
  machine.workers = session.cpu_workers();
  const partition::CostModel model(machine);
  const auto tasks = std::make_shared<partition::TaskGraph>(
      lower(graph, make_plan(graph, model, {.strategy = "auto"}), model));
  runtime::Executor executor(session, tasks, model, {.seed = seed});
  executor.initialise();
  double last = 0;
  for (int step = 0; step < steps; ++step) {
    auto content = data(*graph, seed, step);
    content[train::kLearningRateInput] = scalar(learning_rate);
    content[train::kStepInput] = scalar(static_cast<float>(step + 1));
    runtime::StepInputs inputs;
    for (std::size_t v = 0; v < graph->values().size(); ++v)
      if (graph->values()[v].role == graph::Role::input)
        inputs[static_cast<graph::ValueId>(v)] = content.at(graph->values()[v].name);
    const auto result = executor.wait(executor.submit(inputs));
    if (step >= steps - kLastSteps)
      last += static_cast<double>(result.fetched.at("loss")->as<float>()[0]) / kLastSteps;
  }
  return last;
}

/// What the runs of a kind of arithmetic end with.
struct Results {
  std::vector<double> losses;  ///< one a seed
  [[nodiscard]] double mean() const {
    return std::accumulate(losses.begin(), losses.end(), 0.0) / kSeeds;
  }
  [[nodiscard]] double spread() const {
    const auto [least, most] = std::minmax_element(losses.begin(), losses.end());
    return *most - *least;
  }
};

Results over_seeds(runtime::Session& session, const Graph& graph, Data data, int steps,
                   float learning_rate) {
  Results results;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
    results.losses.push_back(trained(session, graph, data, seed, steps, learning_rate));
  return results;
}

void expect_same_convergence(const Results& cheap, const Results& reference) {
  const std::string all = fmt::format("{:.4f} beside {:.4f}", fmt::join(cheap.losses, " "),
                                      fmt::join(reference.losses, " "));
  EXPECT_LE(std::abs(cheap.mean() - reference.mean()), reference.spread() / 2) << all;
  for (std::size_t seed = 0; seed < kSeeds; ++seed)
    EXPECT_LE(std::abs(cheap.losses[seed] - reference.losses[seed]), reference.spread()) << all;
}

// ---- a small GPT on a Markov chain

constexpr std::int64_t kWords = 64, kSequences = 4, kTokens = 32;

/// The word after w is 5 w + 3, seven times in ten, or one or two further on: 0.80 nats a word.
std::map<std::string, runtime::HostTensorPtr> markov_chain(const graph::Graph& graph,
                                                           std::uint64_t seed, int step) {
  std::mt19937_64 random(1000 * seed + static_cast<std::uint64_t>(step));
  const auto tokens =
      std::make_shared<runtime::HostTensor>(graph.value(graph.find(apps::kTokensInput)).type);
  const auto targets = std::make_shared<runtime::HostTensor>(tokens->type);
  for (std::size_t n = 0; n < kSequences; ++n) {
    auto word = static_cast<std::int32_t>(random() % kWords);
    for (std::size_t t = 0; t < kTokens; ++t) {
      tokens->as<std::int32_t>()[n * kTokens + t] = word;
      const auto tenth = random() % 10;
      word = static_cast<std::int32_t>((5 * word + 3 +
                                        (tenth < 7   ? 0
                                         : tenth < 9 ? 1
                                                     : 2)) %
                                       kWords);
      targets->as<std::int32_t>()[n * kTokens + t] = word;
    }
  }
  return {{apps::kTokensInput, tokens}, {apps::kTargetsInput, targets}};
}

TEST(Convergence, OfASmallGptInBf16IsThatInF32) {
  runtime::Session session({.cpu_workers = 2});
  const apps::Gpt2Options net{
      .layers = 2, .heads = 2, .channels = 64, .vocabulary = kWords, .context = kTokens};
  const auto results = [&](DType dtype) {
    const Graph graph = apps::gpt2_training_graph(kSequences, kTokens, net, {}, dtype);
    return over_seeds(session, graph, markov_chain, 80, 3e-3F);
  };

  const Results reference = results(DType::f32);

  EXPECT_LT(reference.mean(), 1.5) << "it does not learn";
  expect_same_convergence(results(DType::bf16), reference);
}

// ---- a small U-Net on balls

constexpr std::int64_t kVoxels = 16;

/// A bright ball of class 1 and a dark one of class 2 in noise.
std::map<std::string, runtime::HostTensorPtr> balls(const graph::Graph& graph, std::uint64_t seed,
                                                    int step) {
  std::mt19937_64 random(1000 * seed + static_cast<std::uint64_t>(step));
  std::normal_distribution<float> noise(0, 0.5F);
  std::uniform_real_distribution<float> place(4, kVoxels - 5), size(2, 4);
  const auto image =
      std::make_shared<runtime::HostTensor>(graph.value(graph.find(apps::kImageInput)).type);
  const auto labels =
      std::make_shared<runtime::HostTensor>(graph.value(graph.find(apps::kLabelsInput)).type);
  struct Ball {
    float d, h, w, radius;
  };
  const Ball ball[] = {{place(random), place(random), place(random), size(random)},
                       {place(random), place(random), place(random), size(random)}};
  std::size_t at = 0;
  for (std::int64_t d = 0; d < kVoxels; ++d)
    for (std::int64_t h = 0; h < kVoxels; ++h)
      for (std::int64_t w = 0; w < kVoxels; ++w, ++at) {
        const auto is_in = [&](const Ball& b) {
          const auto far = [](std::int64_t i, float c) {
            return (static_cast<float>(i) - c) * (static_cast<float>(i) - c);
          };
          return far(d, b.d) + far(h, b.h) + far(w, b.w) <= b.radius * b.radius;
        };
        const int label = is_in(ball[0]) ? 1 : is_in(ball[1]) ? 2 : 0;
        labels->as<std::uint8_t>()[at] = static_cast<std::uint8_t>(label);
        image->as<float>()[at] = (label == 1 ? 1.0F : label == 2 ? -1.0F : 0.0F) + noise(random);
      }
  return {{apps::kImageInput, image}, {apps::kLabelsInput, labels}};
}

/// Winograd wherever it can be, however small the net is.
double winograd_first(const graph::OpCall& call) {
  return call.spec->name.find("Winograd") == std::string::npos ? 1 : 0;
}

Graph small_unet(graph::Math math, DType dtype) {
  return apps::unet3d_training_graph({1, kVoxels, kVoxels, kVoxels, 1},
                                     {.classes = 3,
                                      .filters = {8, 16},
                                      .passes = {.math = math, .effort = winograd_first},
                                      .dtype = dtype},
                                     {}, {});
}

/// Operators whose names contain `name`.
int count_nodes(const graph::Graph& graph, const std::string& name) {
  return static_cast<int>(std::count_if(
      graph.nodes().begin(), graph.nodes().end(),
      [&](const graph::Node& node) { return node.spec->name.find(name) != std::string::npos; }));
}

TEST(Convergence, OfASmallUNetByWinogradAndInBf16IsThatByDirectConvolution) {
  runtime::Session session({.cpu_workers = 2});
  const auto results = [&](const Graph& graph) {
    return over_seeds(session, graph, balls, 80, 3e-3F);
  };
  const Graph strict = small_unet(graph::Math::strict, DType::f32);
  const Graph fast = small_unet(graph::Math::fast, DType::f32);
  ASSERT_EQ(count_nodes(*strict, "Winograd"), 0);
  ASSERT_GT(count_nodes(*fast, "WinogradConv"), 10);
  ASSERT_GT(count_nodes(*fast, "WinogradConvGradInput"), 0);

  const Results reference = results(strict);

  EXPECT_LT(reference.mean(), 1.5) << "it does not learn";
  expect_same_convergence(results(fast), reference);
  expect_same_convergence(results(small_unet(graph::Math::fast, DType::bf16)), reference);
}

}  // namespace
}  // namespace hpdlf::test
