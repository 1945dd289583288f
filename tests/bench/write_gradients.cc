// Writes the loss and all parameter gradients of one step of a net of `hpdlf bench`, for scripts/check_accuracy.py.
//
//   write_gradients IN OUT NET SIZE MATH
//
// IN (safetensors) holds the parameters and inputs by name, in our layouts; OUT gets "loss" and "grad.NAME" of each parameter. The step
// is planned and run as `hpdlf bench step` does it. SIZE 0: the net's own; MATH: fast or strict.
#include <cstdlib>
#include <cstring>

#include "apps/bench/nets.hpp"
#include "apps/unet3d/program.hpp"
#include "runtime/executor.hpp"
#include "runtime/session.hpp"
#include "support/safetensors.hpp"
#include "train/training_graph.hpp"

namespace hpdlf::test {
namespace {

using graph::Graph;
using graph::ValueId;

/// Fetches each parameter's gradient, which the node of its update reads after the parameter.
void fetch_gradients(Graph& graph) {
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const graph::Node& node = graph.nodes()[n];
    if (node.phase == graph::Phase::update)
      graph.fetch("grad." + graph.value(node.inputs[0]).name, node.inputs[1]);
  }
}

runtime::HostTensor given(const Fixture& fixture, const graph::Value& value) {
  const auto found = fixture.tensors.find(value.name);
  HPDLF_CHECK(found != fixture.tensors.end(), "the file has no \"{}\" ({})", value.name,
              to_string(value.type));
  HPDLF_CHECK(found->second.type == value.type, "\"{}\" is {}, but {} is given", value.name,
              to_string(value.type), to_string(found->second.type));
  runtime::HostTensor tensor(value.type);
  std::memcpy(tensor.data.data(), found->second.data.data(), tensor.data.size());
  return tensor;
}

/// The optimizer's inputs do not matter: gradients are taken before it.
runtime::HostTensor content(const Fixture& fixture, const graph::Value& value) {
  if (value.name != train::kLearningRateInput && value.name != train::kStepInput)
    return given(fixture, value);
  runtime::HostTensor tensor(value.type);
  tensor.as<float>()[0] = 1;
  return tensor;
}

runtime::StepInputs place_content(const Fixture& fixture, const Graph& graph,
                                  runtime::Executor& executor) {
  executor.initialise();  // the optimizer's state
  runtime::StepInputs inputs;
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const graph::Value& value = graph.values()[v];
    const auto id = static_cast<ValueId>(v);
    if (value.role == graph::Role::parameter) executor.write(id, given(fixture, value));
    if (value.role == graph::Role::input)
      inputs[id] = std::make_shared<runtime::HostTensor>(content(fixture, value));
  }
  return inputs;
}

Fixture gradients(const Fixture& fixture, const std::string& net_name, std::int64_t size,
                  const std::string& math) {
  const apps::BenchNet net = apps::make_bench_net(net_name, {.size = size});
  runtime::Session session;
  const partition::CostModel model = apps::measured_model(session, 0);
  train::complete_training_graph(*net.graph, net.loss, net.optimizer,
                                 {graph::math_from(math), apps::effort_of(model)});
  fetch_gradients(*net.graph);
  const apps::PlannedStep step = apps::plan_step(net.graph, model, {});
  runtime::Executor executor(session, step.tasks, model);
  const runtime::StepInputs inputs = place_content(fixture, *net.graph, executor);
  const auto result = executor.wait(executor.submit(inputs));
  Fixture written;
  for (const auto& [name, tensor] : result.fetched)
    written.tensors[name] = {tensor->type, {tensor->data.begin(), tensor->data.end()}};
  return written;
}

}  // namespace
}  // namespace hpdlf::test

int main(int argc, char** argv) {
  using namespace hpdlf;
  if (argc != 6) {
    fmt::print(stderr, "usage: write_gradients IN OUT NET SIZE MATH\n");
    return 2;
  }
  try {
    const std::string out = argv[2], net = argv[3], math = argv[5];
    test::write_safetensors(
        out, test::gradients(test::read_safetensors(argv[1]), net, std::atoll(argv[4]), math));
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return EXIT_FAILURE;
  }
}
