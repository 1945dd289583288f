// A parallel program whose rank 1 meets a label that is no class. `failing_rank caught|escapes`: how main() deals with the error.
#include <cstdio>
#include <cstring>
#include <string_view>

#include "partition/lower.hpp"
#include "partition/planner.hpp"
#include "runtime/executor.hpp"
#include "unit/partition/small_nets.hpp"

namespace {

using namespace hpdlf;

runtime::StepInputs inputs_with_bad_label(const graph::Graph& graph, int ranks) {
  runtime::StepInputs inputs;
  for (const auto& [value, tensor] : test::random_inputs(graph, 1)) {
    auto host = std::make_shared<runtime::HostTensor>(tensor.type);
    std::memcpy(host->data.data(), tensor.data.data(), tensor.data.size());
    // The first sample of rank 1.
    if (graph.value(value).name == "labels")
      host->as<std::int32_t>()[static_cast<std::size_t>(tensor.type.elements() / ranks)] = 99;
    inputs[value] = std::move(host);
  }
  return inputs;
}

void train(runtime::Session& session, bool catches_inside) {
  const auto graph = test::small_mlp(8);
  partition::Machine machine;
  machine.ranks = session.ranks();
  const partition::CostModel model(machine);
  const auto plan =
      partition::make_plan(graph, model, {.strategy = "n:" + std::to_string(session.ranks())});
  runtime::Executor executor(
      session, std::make_shared<partition::TaskGraph>(partition::lower(graph, plan)), model);
  executor.initialise();
  try {
    for (int step = 0; step < 100; ++step)
      executor.wait(executor.submit(inputs_with_bad_label(*graph, session.ranks())));
  } catch (const Error& error) {
    if (!catches_inside) throw;
    std::fprintf(stderr, "error: %s\n", error.what());
    session.abort_all(3);
  }
}

}  // namespace

int main(int argc, char** argv) {
  runtime::Session session({.cpu_workers = 1});
  try {
    train(session, argc == 2 && std::string_view(argv[1]) == "caught");
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    session.abort_all(1);
  }
}
