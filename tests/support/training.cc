#include "support/training.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "apps/transformer/network.hpp"
#include "apps/unet3d/network.hpp"
#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "runtime/executor.hpp"
#include "support/oracle.hpp"

namespace hpdlf::test {
namespace {

std::vector<std::int64_t> integers(const std::string& list) {
  std::vector<std::int64_t> v;
  std::istringstream in(list);
  for (std::string item; std::getline(in, item, ',');) v.push_back(std::stoll(item));
  return v;
}

runtime::HostTensorPtr host_tensor(const graph::TensorType& type, const void* data) {
  auto tensor = std::make_shared<runtime::HostTensor>(type);
  std::memcpy(tensor->data.data(), data, tensor->data.size());
  return tensor;
}

runtime::HostTensorPtr scalar(float value) { return host_tensor({DType::f32, {}}, &value); }

/// The parameters of the fixture in an oracle.
void load_parameters(Oracle& oracle, const graph::Graph& graph, const Fixture& fixture) {
  for (std::size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].role == graph::Role::parameter)
      oracle.value(static_cast<graph::ValueId>(i)).data =
          fixture.tensors.at(graph.values()[i].name).data;
}

bool is_gpt2(const Fixture& fixture) { return fixture.metadata.at("net") == "gpt2"; }

/// Tokens, stored as u8 and given as i32.
runtime::HostTensorPtr widened(const FixtureTensor& tensor) {
  const auto narrow = tensor.as<std::uint8_t>();
  const std::vector<std::int32_t> wide(narrow.begin(), narrow.end());
  return host_tensor({DType::i32, tensor.type.extents}, wide.data());
}

/// Every input of the graph at one step.
runtime::StepInputs step_inputs(const graph::Graph& graph, const Fixture& fixture, int step) {
  const auto content = [&](const std::string& input) {
    if (input == train::kLearningRateInput) return scalar(std::stof(fixture.metadata.at("lr")));
    if (input == train::kStepInput) return scalar(static_cast<float>(step + 1));
    const FixtureTensor& tensor = fixture.tensors.at(input == apps::kImageInput ? "x" : input);
    if (is_gpt2(fixture)) return widened(tensor);
    return host_tensor(tensor.type, tensor.data.data());
  };
  runtime::StepInputs inputs;
  for (std::size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].role == graph::Role::input)
      inputs[static_cast<graph::ValueId>(i)] = content(graph.values()[i].name);
  return inputs;
}

std::map<graph::ValueId, Tensor> oracle_inputs(const graph::Graph& graph, const Fixture& fixture,
                                               int step) {
  std::map<graph::ValueId, Tensor> inputs;
  for (const auto& [value, given] : step_inputs(graph, fixture, step)) {
    Tensor tensor(given->type);
    std::memcpy(tensor.data.data(), given->data.data(), tensor.data.size());
    inputs.emplace(value, std::move(tensor));
  }
  return inputs;
}

partition::Machine test_machine(const runtime::Session& session) {
  partition::Machine machine;
  machine.name = "test";
  machine.ranks = session.ranks();
  machine.workers = session.cpu_workers();
  return machine;
}

void load_parameters(runtime::Executor& executor, const graph::Graph& graph,
                     const Fixture& fixture) {
  executor.initialise();
  for (std::size_t i = 0; i < graph.values().size(); ++i) {
    const graph::Value& value = graph.values()[i];
    if (value.role != graph::Role::parameter) continue;
    const FixtureTensor& tensor = fixture.tensors.at(value.name);
    HPDLF_CHECK(tensor.type == value.type, "fixture and net differ in {}", value.name);
    executor.write(static_cast<graph::ValueId>(i), *host_tensor(tensor.type, tensor.data.data()));
  }
}

std::shared_ptr<graph::Graph> gpt2_fixture_graph(const Fixture& fixture, DType dtype) {
  const auto integer = [&](const char* key) { return std::stoll(fixture.metadata.at(key)); };
  const Extents& table = fixture.tensors.at("wte.weight").type.extents;
  const Extents& tokens = fixture.tensors.at("tokens").type.extents;
  return apps::gpt2_training_graph(tokens[0], tokens[1],
                                   {.layers = integer("layers"),
                                    .heads = integer("heads"),
                                    .channels = table[1],
                                    .vocabulary = table[0],
                                    .context = integer("context")},
                                   {.weight_decay = std::stod(fixture.metadata.at("weight_decay"))},
                                   dtype);
}

}  // namespace

std::shared_ptr<graph::Graph> fixture_training_graph(const Fixture& fixture, DType dtype) {
  if (is_gpt2(fixture)) return gpt2_fixture_graph(fixture, dtype);
  using Variant = apps::UNet3dOptions::Variant;
  const auto& meta = fixture.metadata;
  const auto weights = fixture.tensors.at("class_weights").as<float>();
  return apps::unet3d_training_graph(
      fixture.tensors.at("x").type.extents,
      {.classes = static_cast<std::int64_t>(weights.size()),
       .filters = integers(meta.at("filters")),
       .variant = meta.at("net") == "cicek" ? Variant::cicek : Variant::mlperf,
       .dtype = dtype},
      {.class_weights = weights,
       .dice_over_batch = meta.at("dice_over_batch") == "1",
       .dice_smooth = std::stod(meta.at("dice_smooth")),
       .scale = std::stod(meta.at("loss_scale"))},
      {.name = meta.at("optimizer"), .weight_decay = std::stod(meta.at("weight_decay"))});
}

std::vector<double> oracle_losses(const Fixture& fixture, int steps) {
  const auto graph = fixture_training_graph(fixture);
  Oracle oracle(*graph);
  load_parameters(oracle, *graph, fixture);
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    oracle.step(oracle_inputs(*graph, fixture, step));
    losses.push_back(static_cast<double>(oracle.fetched("loss").as<float>()[0]));
  }
  return losses;
}

std::map<std::string, double> oracle_gradient_errors(const Fixture& fixture) {
  const auto graph = fixture_training_graph(fixture);
  Oracle oracle(*graph);
  load_parameters(oracle, *graph, fixture);
  oracle.step(oracle_inputs(*graph, fixture, 0));
  std::map<std::string, double> errors;
  for (const auto& node : graph->nodes()) {
    if (node.phase != graph::Phase::update) continue;
    const std::string& parameter = graph->value(node.inputs[0]).name;
    const auto reference = fixture.tensors.find("grad." + parameter);
    if (reference == fixture.tensors.end()) continue;
    const auto expected = reference->second.as<double>();
    const auto actual = oracle.value(node.inputs[1]).as<float>();
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      error += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
      norm += expected[i] * expected[i];
    }
    errors[parameter] = std::sqrt(error / norm);
  }
  return errors;
}

TrainingRun train_fixture(runtime::Session& session, const Fixture& fixture,
                          const std::string& strategy, int steps, DType dtype) {
  const std::shared_ptr<const graph::Graph> graph = fixture_training_graph(fixture, dtype);
  const partition::CostModel model(test_machine(session));
  const partition::Plan plan = partition::make_plan(graph, model, {.strategy = strategy});
  auto tasks = std::make_shared<partition::TaskGraph>(partition::lower(graph, plan));
  partition::set_priorities(*tasks, model);
  partition::verify(*tasks);
  runtime::Executor executor(session, tasks, model);
  load_parameters(executor, *graph, fixture);

  TrainingRun run{.losses = {}, .first_parameter = {}, .plan_reason = plan.reason};
  for (int step = 0; step < steps; ++step) {
    const std::int64_t id = executor.submit(step_inputs(*graph, fixture, step));
    run.losses.push_back(static_cast<double>(executor.wait(id).fetched.at("loss")->as<float>()[0]));
  }
  const auto first =
      std::find_if(graph->values().begin(), graph->values().end(),
                   [](const graph::Value& v) { return v.role == graph::Role::parameter; });
  run.first_parameter =
      executor.read(static_cast<graph::ValueId>(first - graph->values().begin()))->data;
  return run;
}

}  // namespace hpdlf::test
