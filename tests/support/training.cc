#include "support/training.hpp"

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

bool is_gpt2(const Fixture& fixture) {
  const auto net = fixture.metadata.find("net");
  return net != fixture.metadata.end() && net->second == "gpt2";
}

std::int64_t integer(const Fixture& fixture, const std::string& key) {
  return std::stoll(fixture.metadata.at(key));
}

/// Stored as u8, given as i32.
FixtureTensor widened(const FixtureTensor& tensor) {
  const auto narrow = tensor.as<std::uint8_t>();
  const std::vector<std::int32_t> wide(narrow.begin(), narrow.end());
  FixtureTensor result{{DType::i32, tensor.type.extents}, {}};
  result.data.resize(wide.size() * sizeof(std::int32_t));
  std::memcpy(result.data.data(), wide.data(), result.data.size());
  return result;
}

/// The data of every step, by the name of the graph's input.
std::map<std::string, FixtureTensor> batch_of(const Fixture& fixture) {
  if (is_gpt2(fixture))
    return {{apps::kTokensInput, widened(fixture.tensors.at("tokens"))},
            {apps::kTargetsInput, widened(fixture.tensors.at("targets"))}};
  return {{apps::kImageInput, fixture.tensors.at("x")},
          {apps::kLabelsInput, fixture.tensors.at("labels")}};
}

/// The parameters of the fixture in an oracle.
void load_parameters(Oracle& oracle, const graph::Graph& graph, const Fixture& fixture) {
  for (std::size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].role == graph::Role::parameter)
      oracle.value(static_cast<graph::ValueId>(i)).data =
          fixture.tensors.at(graph.values()[i].name).data;
}

/// The inputs of one step.
std::map<graph::ValueId, Tensor> oracle_inputs(const graph::Graph& graph, const Fixture& fixture,
                                               int step) {
  const auto filled = [](const graph::TensorType& type, const void* data) {
    Tensor t(type);
    std::memcpy(t.data.data(), data, t.data.size());
    return t;
  };
  const float lr = std::stof(fixture.metadata.at("lr"));
  const auto number = static_cast<float>(step + 1);
  std::map<graph::ValueId, Tensor> inputs = {
      {graph.find(train::kLearningRateInput), filled({DType::f32, {}}, &lr)},
      {graph.find(train::kStepInput), filled({DType::f32, {}}, &number)}};
  for (const auto& [name, tensor] : batch_of(fixture))
    inputs.emplace(graph.find(name), filled(tensor.type, tensor.data.data()));
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

std::shared_ptr<graph::Graph> gpt2_fixture_graph(const Fixture& fixture) {
  const Extents& table = fixture.tensors.at("wte.weight").type.extents;
  const Extents& tokens = fixture.tensors.at("tokens").type.extents;
  return apps::gpt2_training_graph(
      tokens[0], tokens[1],
      {.layers = integer(fixture, "layers"),
       .heads = integer(fixture, "heads"),
       .channels = table[1],
       .vocabulary = table[0],
       .context = integer(fixture, "context")},
      {.weight_decay = std::stod(fixture.metadata.at("weight_decay"))});
}

graph::ValueId first_parameter_of(const graph::Graph& graph) {
  for (std::size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].role == graph::Role::parameter) return static_cast<graph::ValueId>(i);
  throw Error(fmt::format("graph \"{}\" has no parameter", graph.name()));
}

}  // namespace

std::shared_ptr<graph::Graph> fixture_training_graph(const Fixture& fixture) {
  if (is_gpt2(fixture)) return gpt2_fixture_graph(fixture);
  const FixtureTensor& x = fixture.tensors.at("x");
  const auto weights = fixture.tensors.at("class_weights").as<float>();
  return apps::unet3d_training_graph(
      x.type.extents,
      {.classes = static_cast<std::int64_t>(weights.size()),
       .filters = integers(fixture.metadata.at("filters"))},
      {.class_weights = weights}, {.weight_decay = std::stod(fixture.metadata.at("weight_decay"))});
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
                          const std::string& strategy, int steps) {
  const std::shared_ptr<const graph::Graph> graph = fixture_training_graph(fixture);
  const partition::CostModel model(test_machine(session));
  const partition::Plan plan = partition::make_plan(graph, model, {.strategy = strategy});
  auto tasks = std::make_shared<partition::TaskGraph>(partition::lower(graph, plan));
  partition::set_priorities(*tasks, model);
  partition::verify(*tasks);
  runtime::Executor executor(session, tasks, model);
  load_parameters(executor, *graph, fixture);

  TrainingRun run{.losses = {}, .first_parameter = {}, .plan_reason = plan.reason};
  std::map<graph::ValueId, runtime::HostTensorPtr> inputs = {
      {graph->find(train::kLearningRateInput), scalar(std::stof(fixture.metadata.at("lr")))}};
  for (const auto& [name, tensor] : batch_of(fixture))
    inputs[graph->find(name)] = host_tensor(tensor.type, tensor.data.data());
  for (int step = 0; step < steps; ++step) {
    inputs[graph->find(train::kStepInput)] = scalar(static_cast<float>(step + 1));
    const std::int64_t id = executor.submit(inputs);
    run.losses.push_back(static_cast<double>(executor.wait(id).fetched.at("loss")->as<float>()[0]));
  }
  run.first_parameter = executor.read(first_parameter_of(*graph))->data;
  return run;
}

}  // namespace hpdlf::test
