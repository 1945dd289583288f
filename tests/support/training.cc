#include "support/training.hpp"

#include <cmath>
#include <cstring>
#include <sstream>

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

/// The parameters of the fixture in an oracle, and the inputs of one step.
void load_parameters(Oracle& oracle, const graph::Graph& graph, const Fixture& fixture) {
  for (std::size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].role == graph::Role::parameter)
      oracle.value(static_cast<graph::ValueId>(i)).data =
          fixture.tensors.at(graph.values()[i].name).data;
}

std::map<graph::ValueId, Tensor> oracle_inputs(const graph::Graph& graph, const Fixture& fixture,
                                               int step) {
  const auto filled = [](const graph::TensorType& type, const void* data) {
    Tensor t(type);
    std::memcpy(t.data.data(), data, t.data.size());
    return t;
  };
  const float lr = std::stof(fixture.metadata.at("lr"));
  const auto number = static_cast<float>(step + 1);
  const FixtureTensor &x = fixture.tensors.at("x"), &labels = fixture.tensors.at("labels");
  return {{graph.find(apps::kImageInput), filled(x.type, x.data.data())},
          {graph.find(apps::kLabelsInput), filled(labels.type, labels.data.data())},
          {graph.find(train::kLearningRateInput), filled({DType::f32, {}}, &lr)},
          {graph.find(train::kStepInput), filled({DType::f32, {}}, &number)}};
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

}  // namespace

std::shared_ptr<graph::Graph> fixture_training_graph(const Fixture& fixture) {
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
  const auto image = host_tensor(fixture.tensors.at("x").type, fixture.tensors.at("x").data.data());
  const auto labels =
      host_tensor(fixture.tensors.at("labels").type, fixture.tensors.at("labels").data.data());
  for (int step = 0; step < steps; ++step) {
    const std::int64_t id = executor.submit(
        {{graph->find(apps::kImageInput), image},
         {graph->find(apps::kLabelsInput), labels},
         {graph->find(train::kLearningRateInput), scalar(std::stof(fixture.metadata.at("lr")))},
         {graph->find(train::kStepInput), scalar(static_cast<float>(step + 1))}});
    run.losses.push_back(static_cast<double>(executor.wait(id).fetched.at("loss")->as<float>()[0]));
  }
  run.first_parameter = executor.read(graph->find("inp.0.0.weight"))->data;
  return run;
}

}  // namespace hpdlf::test
