#include "apps/bench/step.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "apps/unet3d/program.hpp"
#include "base/median.hpp"
#include "base/units.hpp"
#include "graph/op_spec.hpp"
#include "partition/planner.hpp"
#include "runtime/busy_meter.hpp"
#include "runtime/memory.hpp"
#include "train/process_memory.hpp"
#include "train/training_graph.hpp"

namespace hpdlf::apps {
namespace {

constexpr int kWarmUpSteps = 2;  ///< as in scripts/torch_bench.py: caches, pools, primitives

runtime::HostTensorPtr scalar(double value) {
  auto tensor = std::make_shared<runtime::HostTensor>(graph::TensorType{DType::f32, {}});
  tensor->as<float>()[0] = static_cast<float>(value);
  return tensor;
}

/// Sums the times of the timed steps' tasks by operator, or by layer and operator.
class OperatorMeter {
 public:
  OperatorMeter(const partition::TaskGraph& tasks, const partition::CostModel& model, bool by_layer)
      : tasks_(tasks), model_(model), by_layer_(by_layer) {}

  void add_step(std::span<const runtime::TaskTime> times) {
    ++steps_;
    for (const auto& time : times) {
      const auto& task = tasks_.tasks[static_cast<std::size_t>(time.task)];
      Sum& sum = sums_[{std::string(task.op), by_layer_ ? tasks_.describe(task) : ""}];
      ++sum.tasks;
      sum.us += time.end_us - time.start_us;
      sum.predicted_us += 1e6 * model_.seconds(task);
      sum.flops += task.cost.flops;
    }
  }

  [[nodiscard]] std::vector<OperatorTime> result() const {
    std::vector<OperatorTime> list;
    for (const auto& [of, sum] : sums_)
      list.push_back({of.first, of.second, sum.tasks / steps_, a_step(sum.us),
                      a_step(sum.predicted_us), sum.us > 0 ? sum.flops / sum.us * 1e-3 : 0});
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.ms > b.ms; });
    return list;
  }

 private:
  struct Sum {
    std::int64_t tasks = 0;
    double us = 0, predicted_us = 0, flops = 0;
  };
  /// Milliseconds.
  [[nodiscard]] double a_step(double us) const { return us * 1e-3 / static_cast<double>(steps_); }

  const partition::TaskGraph& tasks_;
  const partition::CostModel& model_;
  bool by_layer_;
  std::map<std::pair<std::string, std::string>, Sum> sums_;  ///< operator, layer
  std::int64_t steps_ = 0;
};

/// Runs the steps of one net and collects what they tell.
class Measurement {
 public:
  Measurement(runtime::Session& session, const PlannedStep& step, const partition::CostModel& model,
              const BenchNet& net, bool by_layer)
      : net_(net),
        busy_(session.cpu_workers()),
        operators_(*step.tasks, model, by_layer),
        executor_(session, step.tasks, model, {.on_times = [this](auto number, auto times) {
                    if (number < kWarmUpSteps) return;
                    busy_.add_step(times);
                    operators_.add_step(times);
                  }}) {
    executor_.initialise();
  }

  void run(int steps) {
    for (int i = 0; i < kWarmUpSteps + steps; ++i) {
      const runtime::StepInputs inputs = step_inputs(i);
      const auto start = std::chrono::steady_clock::now();
      const std::int64_t number = executor_.submit(inputs);
      executor_.drain();
      seconds_.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      const runtime::StepResult result = executor_.wait(number);
      submit_us_.push_back(result.submit_us);
      losses_.push_back(static_cast<double>(result.fetched.at("loss")->as<float>()[0]));
      HPDLF_CHECK(std::isfinite(losses_.back()), "the loss of step {} is {}", i + 1,
                  losses_.back());
    }
  }

  void report(BenchResult& r) const {
    const std::vector<double> timed(seconds_.begin() + kWarmUpSteps, seconds_.end());
    r.first_step_s = seconds_.front();
    r.min_ms = *std::min_element(timed.begin(), timed.end()) * 1e3;
    r.median_ms = median(timed) * 1e3;
    r.losses = losses_;
    r.us_per_task = median({submit_us_.begin() + kWarmUpSteps, submit_us_.end()}) /
                    static_cast<double>(executor_.task_graph().tasks.size());
    r.busy = busy_.shares();
    r.operators = operators_.result();
  }

 private:
  [[nodiscard]] runtime::StepInputs step_inputs(int step) const {
    const graph::Graph& g = *executor_.task_graph().graph;
    runtime::StepInputs inputs;
    for (std::size_t v = 0; v < g.values().size(); ++v) {
      const graph::Value& value = g.values()[v];
      if (value.role != graph::Role::input) continue;
      const auto id = static_cast<graph::ValueId>(v);
      if (value.name == train::kLearningRateInput)
        inputs[id] = scalar(net_.learning_rate);
      else if (value.name == train::kStepInput)
        inputs[id] = scalar(step + 1);
      else
        inputs[id] = net_.inputs.at(value.name);
    }
    return inputs;
  }

  const BenchNet& net_;
  runtime::BusyMeter busy_;
  OperatorMeter operators_;
  std::vector<double> seconds_, submit_us_, losses_;
  runtime::Executor executor_;  // its last step's times go to the meters: destroyed before them
};

void check(const BenchRequest& request) {
  HPDLF_CHECK(request.steps >= 1, "--steps {}: at least one step is timed", request.steps);
  HPDLF_CHECK(request.dtype == "f32" || request.dtype == "bf16", "unknown dtype `{}`: f32 or bf16",
              request.dtype);
  partition::check_strategy(request.strategy);
}

}  // namespace

double direct_flops(const graph::Graph& graph) {
  static constexpr std::array kProducts = {"Conv",   "ConvTranspose", "MatMul",       "Gemm",
                                           "Linear", "LmHeadSums",    "SelfAttention"};
  std::vector<bool> trained(graph.values().size());  // a parameter reaches it
  for (std::size_t v = 0; v < trained.size(); ++v)
    trained[v] = graph.values()[v].role == graph::Role::parameter;
  double flops = 0;
  for (const auto& node : graph.nodes()) {
    const auto is_trained = [&](graph::ValueId v) { return trained[static_cast<std::size_t>(v)]; };
    if (std::any_of(node.inputs.begin(), node.inputs.end(), is_trained))
      for (const auto v : node.outputs) trained[static_cast<std::size_t>(v)] = true;
    if (std::find(kProducts.begin(), kProducts.end(), node.spec->name) == kProducts.end()) continue;
    const int directions = 1 + is_trained(node.inputs[0]) + is_trained(node.inputs[1]);
    flops += directions * cost_of(call_of(graph, node)).flops;
  }
  return flops;
}

BenchResult bench_step(const BenchRequest& request) {
  check(request);
  const DType dtype = *dtype_from_name(request.dtype);
  const BenchNet net = make_bench_net(request.net, request.size);
  const double flops = direct_flops(*net.graph);
  runtime::Session session({.cpu_workers = request.threads > 0 ? request.threads : -1});
  HPDLF_CHECK(session.ranks() == 1, "`hpdlf bench` measures one process, not {} ranks",
              session.ranks());
  const partition::CostModel model = measured_model(session, 0);
  train::complete_training_graph(*net.graph, net.loss, net.optimizer,
                                 {graph::math_from(request.math), effort_of(model)}, dtype);
  const PlannedStep step = plan_step(
      net.graph, model,
      {.strategy = request.strategy, .recompute = partition::recompute_from(request.recompute)});
  train::reset_peak_resident();  // kernels may just have been measured
  const std::int64_t resident = train::resident_bytes();
  Measurement measurement(session, step, model, net, request.by_layer);
  const std::int64_t predicted =
      resident + runtime::memory_stats().current + transient_bytes(step, 0);
  measurement.run(request.steps);

  BenchResult r{.net = request.net,
                .dtype = request.dtype,
                .machine = model.machine().name,
                .plan = step.plan.reason,
                .size = net.size,
                .params = net.graph->parameter_count(),
                .workers = session.cpu_workers()};
  measurement.report(r);
  r.gflops = flops * 1e-6 / r.median_ms;
  r.peak_fraction = r.gflops / (model.machine().gflops(dtype) * r.workers);
  r.peak_rss_mib = mib(train::peak_resident_bytes());
  r.predicted_ms = step.prediction.seconds * 1e3;
  r.predicted_peak_mib = mib(predicted);
  r.tasks = static_cast<std::int64_t>(step.tasks->tasks.size());
  return r;
}

}  // namespace hpdlf::apps
