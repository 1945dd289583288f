#include "codelets/starpu_codelet.hpp"

#include <chrono>

#include "base/finite.hpp"

namespace hpdlf::codelets {
namespace {

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void watch_outputs(const TaskRecord& record, const KernelArgs& args, FiniteWatch& watch) {
  for (std::size_t i = 0; i < args.outputs.size(); ++i)
    if (!all_finite(args.outputs[i])) watch.note({record.task, static_cast<int>(i)});
}

void run_kernel(const TaskRecord& record, const StepTasks& step, void** buffers) {
  thread_local std::vector<TensorView>
      views;  // one a worker: grows to the longest operand list, then never again
  const KernelArgs shapes = shape_args(record, views);
  for (std::size_t i = 0; i < views.size(); ++i) {
    const BoundOperand& operand = record.operands[i];
    void* base = operand.buffer < 0 ? step.host[static_cast<std::size_t>(operand.host)]
                                    : address_of(buffers[operand.buffer]);
    views[i].data = static_cast<std::byte*>(base) + operand.offset;
  }
  KernelArgs args = shapes;
  args.workspace = step.workspaces[static_cast<std::size_t>(starpu_worker_get_id_check())];
  args.seed = step.seed;
  args.step = step.step;
  record.kernel->run(args);
  if (step.watch != nullptr && !record.is_fetch) watch_outputs(record, args, *step.watch);
}

/// The entry of every task on a CPU worker.
void cpu_entry(void** buffers, void* cl_arg) noexcept {
  const auto& call = *static_cast<const TaskCall*>(cl_arg);
  const std::int64_t start = now_ns();
  if (!call.step->latch->is_set()) {
    try {
      run_kernel(*call.record, *call.step, buffers);
    } catch (...) {
      call.step->latch->set(call.record->task, std::current_exception());
    }
  }
  call.step->task_ended(*call.record, start, now_ns());
}

/// STARPU_PER_ARCH cost in microseconds: a load, as dmda* asks for it once a worker and push.
double estimate_us(starpu_task* task, starpu_perfmodel_arch*, unsigned) {
  return static_cast<const TaskCall*>(task->cl_arg)->record->estimate_us;
}

}  // namespace

void FailureLatch::set(int task, std::exception_ptr error) noexcept {
  const std::lock_guard lock(mutex_);
  if (is_set()) return;
  failure_ = {task, std::move(error)};
  is_set_.store(true, std::memory_order_release);
}

std::optional<FailureLatch::Failure> FailureLatch::take() {
  const std::lock_guard lock(mutex_);
  if (!is_set()) return std::nullopt;
  is_set_.store(false, std::memory_order_release);
  return std::exchange(failure_, {});
}

void FiniteWatch::note(Finding finding) noexcept {
  const std::int64_t key = (static_cast<std::int64_t>(finding.task) << 32) + finding.output;
  std::int64_t known = first_.load();
  while (key < known && !first_.compare_exchange_weak(known, key)) {
  }
}

std::optional<FiniteWatch::Finding> FiniteWatch::take() {
  const std::int64_t key = first_.exchange(kNothing);
  if (key == kNothing) return std::nullopt;
  return Finding{static_cast<int>(key >> 32), static_cast<int>(key & 0xffffffff)};
}

KernelArgs shape_args(const TaskRecord& record, std::vector<TensorView>& views) {
  views.resize(record.operands.size());
  for (std::size_t i = 0; i < views.size(); ++i) views[i] = record.operands[i].view;
  const auto inputs = static_cast<std::size_t>(record.inputs);
  KernelArgs args;
  args.inputs = std::span(views).first(inputs);
  args.outputs = std::span(views).subspan(inputs);
  args.attrs = record.attrs;
  args.accumulate = record.accumulate;
  return args;
}

starpu_codelet* StarpuCodelets::get(std::string_view op) {
  const auto found = entries_.find(op);
  if (found != entries_.end()) return &found->second->codelet;
  auto entry = std::make_unique<Entry>();
  entry->name = op;
  entry->model.type = STARPU_PER_ARCH;
  entry->model.symbol = entry->name.c_str();
  entry->model.arch_cost_function = estimate_us;
  starpu_codelet_init(&entry->codelet);
  entry->codelet.cpu_funcs[0] = cpu_entry;
  entry->codelet.nbuffers = STARPU_VARIABLE_NBUFFERS;
  entry->codelet.name = entry->name.c_str();
  entry->codelet.model = &entry->model;
  return &entries_.emplace(entry->name, std::move(entry)).first->second->codelet;
}

}  // namespace hpdlf::codelets
