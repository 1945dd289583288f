// Runs a task graph on StarPU, step after step.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "partition/cost_model.hpp"
#include "partition/task_graph.hpp"
#include "runtime/session.hpp"

namespace hpdlf::runtime {

/// A whole tensor on the host, dense row-major.
struct HostTensor {
  graph::TensorType type;
  std::vector<std::byte> data;  // (an aligned vector in the real thing is fine)

  explicit HostTensor(const graph::TensorType& t)
      : type(t), data(static_cast<std::size_t>(type.bytes())) {}
  template <class T>
  [[nodiscard]] std::span<T> as() {
    return {reinterpret_cast<T*>(data.data()), static_cast<std::size_t>(type.elements())};
  }
  template <class T>
  [[nodiscard]] std::span<const T> as() const {
    return {reinterpret_cast<const T*>(data.data()), static_cast<std::size_t>(type.elements())};
  }
};
using HostTensorPtr = std::shared_ptr<const HostTensor>;
/// Graph input -> content. A rank needs only the parts that its tiles cover, but gives whole tensors.
using StepInputs = std::map<graph::ValueId, HostTensorPtr>;

struct TaskTime {
  partition::TaskId task = -1;
  int worker = -1;
  double start_us = 0, end_us = 0;  ///< since the session started
};

struct StepResult {
  std::int64_t step = 0;
  std::map<std::string, HostTensorPtr> fetched;  ///< by the graph's fetch names; on every rank
  double submit_us = 0;                          ///< time submit() took
};

/// An output of a task that holds NaN or infinity.
struct NonFinite {
  partition::TaskId task = -1;
  int output = 0;  ///< index among the task's outputs: its tile is access[inputs + output]
};

struct ExecutorOptions {
  std::uint64_t seed = 0;
  bool record_times = false;  ///< keep TaskTime of the last finished step
  /// Gets the task times of every step once, in order, after it has ended: from the thread that uses the executor, out of
  /// the submit() that takes its place or whatever drains before. A failure leaves out the steps in flight.
  std::function<void(std::int64_t step, std::span<const TaskTime> times)> on_times;
};

/// Binds a task graph to StarPU once (handles, codelets, task records), then submits it every step. All ranks construct it alike
/// and call the same functions in the same order. One thread uses it.
class Executor {
 public:
  /// @throws Error listing every operator without a kernel. @param model gives the times that StarPU's schedulers use.
  Executor(Session& session, std::shared_ptr<const partition::TaskGraph> graph,
           const partition::CostModel& model, ExecutorOptions options = {});
  ~Executor();  // waits for what was submitted
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Fills parameters and state by their initialisers (same numbers whatever the tiling and the ranks), constants by their content.
  void initialise();
  /// Hands one step's tasks to StarPU and returns; never waits for one. The step's number starts at `first step` (0, or set_next_step).
  std::int64_t submit(const StepInputs& inputs);
  /// Blocks until the fetches of `step` are there. With drain() the only place that waits for tasks of a step.
  /// @throws the first kernel failure, with node, tile and operator.
  StepResult wait(std::int64_t step);
  /// Blocks until everything submitted has ended.
  void drain();
  /// Number the next submit() gets; random operators draw by it, so a resumed run continues its stream.
  void set_next_step(std::int64_t step);

  /// Gathers parameter or state `value` to rank `to` (everyone if -1); empty elsewhere. Drains first.
  [[nodiscard]] std::shared_ptr<HostTensor> read(graph::ValueId value, int to = -1);
  /// Sets parameter or state `value` on the ranks that hold it; every rank gives the same content. Drains first.
  void write(graph::ValueId value, const HostTensor& content);

  /// While on, every task searches its outputs for NaN and infinity; costs nothing while off. Drains first.
  void watch_finiteness(bool on);
  /// The first output, in the task graph's order, that was not finite in the steps since watch_finiteness(true) or the
  /// last call; the same on every rank. Drains first.
  [[nodiscard]] std::optional<NonFinite> first_non_finite();

  [[nodiscard]] const partition::TaskGraph& task_graph() const;
  /// With record_times: the tasks of the last step that has ended (this rank's), by start.
  [[nodiscard]] std::vector<TaskTime> task_times() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hpdlf::runtime
