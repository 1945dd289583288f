#include "runtime/executor.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <set>

#include "base/error.hpp"
#include "base/log.hpp"
#include "runtime/host_tiles.hpp"
#include "runtime/step.hpp"

namespace hpdlf::runtime {
namespace {

using codelets::TaskRecord;

/// Steps between submission and end. Two keep the workers busy while the host prepares the next; more only hold inputs.
constexpr std::size_t kStepsInFlight = 2;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void fill_buffers(starpu_task& task, const TaskRecord& record) {
  const std::size_t n = record.handles.size();
  task.nbuffers = static_cast<int>(n);
  if (n > STARPU_NMAXBUFS) {  // StarPU frees these with the task
    task.dyn_handles =
        static_cast<starpu_data_handle_t*>(std::malloc(n * sizeof(starpu_data_handle_t)));
    task.dyn_modes =
        static_cast<starpu_data_access_mode*>(std::malloc(n * sizeof(starpu_data_access_mode)));
  }
  std::copy(record.handles.begin(), record.handles.end(),
            n > STARPU_NMAXBUFS ? task.dyn_handles : task.handles);
  std::copy(record.modes.begin(), record.modes.end(),
            n > STARPU_NMAXBUFS ? task.dyn_modes : task.modes);
}

void submit_task(const TaskRecord& record, codelets::TaskCall* call) {
  starpu_task* task = starpu_task_create();
  task->cl = record.codelet;
  task->cl_arg = call;
  task->name = record.name.c_str();
  task->color = record.color;
  task->flops = record.flops;
  task->priority = record.priority;
  if (!record.workers.empty()) {
    task->workerids = const_cast<std::uint32_t*>(record.workers.data());  // StarPU only reads it
    task->workerids_len = static_cast<unsigned>(record.workers.size());
  }
  fill_buffers(*task, record);
  const int code = starpu_task_submit(task);
  HPDLF_ASSERT(code == 0, "starpu_task_submit returned {} for {}", code, record.name);
}

}  // namespace

struct Executor::Impl {
  Impl(Session& owner, std::shared_ptr<const partition::TaskGraph> graph,
       const partition::CostModel& model, ExecutorOptions given)
      : session(owner.impl()),
        bound(session, std::move(graph), model),
        options(std::move(given)),
        steps{Step(bound), Step(bound)} {
    if (bound.workspace_bytes() > 0) {
      session.comm->drain();  // another executor's tasks may be using the workspaces
      session.require_workspace(bound.workspace_bytes());
    }
    for (Step& step : steps) {
      step.seed = options.seed;
      step.latch = &latch;
      step.workspaces = session.workspaces;
    }
    for (const auto& tile : bound.graph().tiles)
      if (tile.is_persistent()) without_content.insert(tile.value);
    persistent = without_content;
  }

  Step& step_of(std::int64_t number) {
    return steps[static_cast<std::size_t>(number) % kStepsInFlight];
  }
  void run(const Command& command, Step& step);
  void block(Step& step, Step::Milestone milestone);
  void throw_failure();
  void report_times();
  void drain();
  void check_persistent(graph::ValueId value, const char* what) const;

  Session::Impl& session;
  BoundGraph bound;
  ExecutorOptions options;
  codelets::FailureLatch latch;
  codelets::FiniteWatch watch;
  std::array<Step, kStepsInFlight> steps;
  std::vector<TaskTime> last_times;
  std::int64_t next_step = 0;
  std::int64_t next_report = 0;  ///< the first step whose times on_times did not get
  std::set<graph::ValueId> persistent,
      without_content;  ///< values kept between steps; those that nothing was given to yet
  std::string failure;  ///< message of the last failed step
  int exceptions = std::uncaught_exceptions();
};

void Executor::Impl::run(const Command& command, Step& step) {
  const auto index = static_cast<std::size_t>(command.index);
  switch (command.kind) {
    case Command::Kind::run: {
      const TaskRecord& record = bound.records()[index];
      submit_task(record, step.call(record.slot));
      break;
    }
    case Command::Kind::send: {
      const BoundTransfer& t = bound.transfers()[index];
      session.comm->send(t.handle, t.peer, t.tag, t.priority);
      break;
    }
    case Command::Kind::receive: {
      const BoundTransfer& t = bound.transfers()[index];
      session.comm->receive(t.handle, t.peer, t.tag, t.priority);
      break;
    }
    case Command::Kind::release:
      starpu_data_invalidate_submit(
          bound.handle(command.index));  // its memory returns to the pool after the last reader
      break;
  }
}

/// The one place that waits for tasks of a step.
void Executor::Impl::block(Step& step, Step::Milestone milestone) {
  if (step.reached(milestone)) return;
  std::unique_lock lock(step.mutex);
  step.changed.wait(lock, [&] { return step.reached(milestone); });
}

/// Throws the failure in the latch, if any. What the remaining tasks left in the tiles is undefined.
void Executor::Impl::throw_failure() {
  if (!latch.is_set()) return;
  // With several ranks the others may never answer, and the program ends; alone, the rest is skipped and the session goes on.
  if (session.comm->ranks() == 1) session.comm->drain();
  without_content = persistent;
  next_report = next_step;
  const auto first = latch.take();
  const auto& task = bound.graph().tasks[static_cast<std::size_t>(first->task)];
  const auto& output = bound.graph().tile(task.access.back().tile);
  const std::string where =
      fmt::format("running {} (operator {}) on tile {} of \"{}\", rank {}",
                  bound.graph().describe(task), task.op, to_string(output.box),
                  bound.graph().graph->value(output.value).name, session.comm->rank());
  try {
    std::rethrow_exception(first->error);
  } catch (Error& error) {
    failure = error.add_context(where).what();
    throw;
  } catch (const std::exception& error) {
    InternalError wrapped(error.what());
    failure = wrapped.add_context(where).what();
    throw wrapped;
  }
}

/// Hands the times of the steps that have ended to on_times.
void Executor::Impl::report_times() {
  if (latch.is_set()) return;  // throw_failure() will pass over them
  for (; next_report < next_step; ++next_report) {
    const Step& step = step_of(next_report);
    if (!step.reached(Step::Milestone::ended)) return;
    if (options.on_times) options.on_times(next_report, step.times(session.start_ns));
  }
}

void Executor::Impl::drain() {
  session.comm->drain();
  throw_failure();
  report_times();
}

void Executor::Impl::check_persistent(graph::ValueId value, const char* what) const {
  const auto& home = bound.graph().home_tiles;
  HPDLF_CHECK(value >= 0 && static_cast<std::size_t>(value) < home.size() &&
                  !home[static_cast<std::size_t>(value)].empty(),
              "cannot {} value {}: it is no parameter or state of this task graph", what, value);
}

Executor::Executor(Session& session, std::shared_ptr<const partition::TaskGraph> graph,
                   const partition::CostModel& model, ExecutorOptions options)
    : impl_(std::make_unique<Impl>(session, std::move(graph), model, std::move(options))) {}

Executor::~Executor() {
  const bool unwinding = std::uncaught_exceptions() > impl_->exceptions;
  if (impl_->session.comm->ranks() > 1 && (!impl_->failure.empty() || unwinding)) {
    // Others may wait for this rank for ever. An error that is on its way to main() will not get there: say it here.
    if (unwinding)
      fmt::print(stderr, "error: {}\n",
                 impl_->failure.empty() ? "the program ends on an error outside the task graph"
                                        : impl_->failure);
    impl_->session.comm->abort(EXIT_FAILURE);
  }
  impl_->session.comm->drain();
  if (impl_->latch.is_set())
    spdlog::warn("a task failed after the last wait(); its error was not asked for");
}

void Executor::initialise() {
  impl_->drain();
  codelets::FailureLatch latch;
  submit_initial_tiles(impl_->bound, impl_->options.seed, latch);
  impl_->session.comm->drain();
  if (const auto failure = latch.take()) std::rethrow_exception(failure->error);
  impl_->without_content.clear();
}

std::int64_t Executor::submit(const StepInputs& inputs) {
  if (!impl_->without_content.empty())
    throw Error(fmt::format("\"{}\" has no content{}",
                            impl_->bound.graph().graph->value(*impl_->without_content.begin()).name,
                            impl_->failure.empty() ? "" : " after a failed step"),
                "initialise() or write() come before submit()");
  Step& step = impl_->step_of(impl_->next_step);
  if (step.is_used()) {
    impl_->block(step, Step::Milestone::ended);
    impl_->report_times();
    if (impl_->options.record_times) impl_->last_times = step.times(impl_->session.start_ns);
  }
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t number = impl_->next_step;
  step.begin(number, inputs);
  ++impl_->next_step;
  starpu_iteration_push(static_cast<unsigned long>(number));
  for (const Command& command : impl_->bound.program()) impl_->run(command, step);
  starpu_iteration_pop();
  step.submit_us = 1e6 * seconds_since(start);
  return number;
}

StepResult Executor::wait(std::int64_t number) {
  Step& step = impl_->step_of(number);
  HPDLF_CHECK(number >= 0 && step.holds(number),
              "step {} was not submitted, or {} or more were since: its results are gone", number,
              kStepsInFlight);
  impl_->block(step, Step::Milestone::fetched);
  impl_->throw_failure();
  return {number, step.fetched(), step.submit_us};
}

void Executor::drain() { impl_->drain(); }

void Executor::set_next_step(std::int64_t step) {
  HPDLF_CHECK(step >= 0, "steps are counted from 0, not {}", step);
  impl_->drain();
  impl_->next_step = impl_->next_report = step;
}

std::shared_ptr<HostTensor> Executor::read(graph::ValueId value, int to) {
  impl_->check_persistent(value, "read");
  impl_->drain();
  HPDLF_CHECK(!impl_->without_content.contains(value), "cannot read \"{}\": it has no content yet",
              impl_->bound.graph().graph->value(value).name);
  auto result = gather_own(impl_->bound, impl_->session.comm->rank(), value);
  impl_->session.comm->combine(result->data, to);
  return to < 0 || to == impl_->session.comm->rank() ? result : nullptr;
}

void Executor::write(graph::ValueId value, const HostTensor& content) {
  impl_->check_persistent(value, "write");
  const graph::Value& target = impl_->bound.graph().graph->value(value);
  HPDLF_CHECK(content.type == target.type, "\"{}\" is {}, not {}", target.name,
              to_string(target.type), to_string(content.type));
  impl_->drain();
  scatter(impl_->bound, value, content);
  impl_->without_content.erase(value);
}

void Executor::watch_finiteness(bool on) {
  impl_->drain();
  (void)impl_->watch.take();
  for (Step& step : impl_->steps) step.watch = on ? &impl_->watch : nullptr;
}

std::optional<NonFinite> Executor::first_non_finite() {
  impl_->drain();
  const auto own = impl_->watch.take();
  std::vector<std::int64_t> keys = impl_->session.comm->gather(
      own ? ((static_cast<std::int64_t>(own->task) + 1) << 32) + own->output : 0);
  std::erase(keys, 0);
  if (keys.empty()) return std::nullopt;
  const std::int64_t first = *std::min_element(keys.begin(), keys.end());
  return NonFinite{static_cast<partition::TaskId>((first >> 32) - 1),
                   static_cast<int>(first & 0xffffffff)};
}

const partition::TaskGraph& Executor::task_graph() const { return impl_->bound.graph(); }

std::vector<TaskTime> Executor::task_times() const {
  const Step* newest = nullptr;
  for (const Step& step : impl_->steps)
    if (step.is_used() && step.reached(Step::Milestone::ended) &&
        (newest == nullptr || step.step > newest->step))
      newest = &step;
  return impl_->options.record_times && newest != nullptr ? newest->times(impl_->session.start_ns)
                                                          : impl_->last_times;
}

}  // namespace hpdlf::runtime
