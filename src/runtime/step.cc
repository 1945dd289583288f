#include "runtime/step.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace hpdlf::runtime {

Step::Step(const BoundGraph& bound) : bound_(bound) {
  for (const auto& record : bound.records()) calls_.push_back({&record, this});
  spans_.resize(calls_.size());
}

void Step::begin(std::int64_t number, const StepInputs& inputs) {
  const auto& slots = bound_.host_slots();
  std::vector<HostTensorPtr> fed(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].fetched) continue;
    const graph::Value& value = bound_.graph().graph->value(slots[i].value);
    const auto given = inputs.find(slots[i].value);
    HPDLF_CHECK(given != inputs.end() && given->second != nullptr,
                "step {}: input \"{}\" ({}) is not given", number, value.name,
                to_string(value.type));
    HPDLF_CHECK(given->second->type == value.type, "step {}: input \"{}\" is {}, but {} is given",
                number, value.name, to_string(value.type), to_string(given->second->type));
    fed[i] = given->second;
  }
  inputs_ = std::move(fed);
  outputs_.assign(slots.size(), nullptr);
  host.assign(slots.size(), nullptr);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].fetched) {
      outputs_[i] = std::make_shared<HostTensor>(bound_.graph().graph->value(slots[i].value).type);
      host[i] = outputs_[i]->data.data();
    } else {
      // Kernels' views carry one pointer type; Feed only reads it.
      host[i] = const_cast<std::byte*>(inputs_[i]->data.data());
    }
  }
  step = number;
  used_ = true;
  tasks_left_ = static_cast<int>(calls_.size());
  fetches_left_ = bound_.fetch_count();
}

void Step::task_ended(const codelets::TaskRecord& record, std::int64_t start_ns,
                      std::int64_t end_ns) noexcept {
  spans_[static_cast<std::size_t>(record.slot)] = {start_ns, end_ns, starpu_worker_get_id()};
  const bool last_fetch = record.is_fetch && fetches_left_.fetch_sub(1) == 1;
  const bool last_task = tasks_left_.fetch_sub(1) == 1;
  if (!last_fetch && !last_task) return;
  // The lock orders this after a waiter's look at the counts; the Step itself outlives all its tasks.
  { const std::lock_guard lock(mutex); }
  changed.notify_all();
}

bool Step::reached(Milestone milestone) const {
  return (milestone == Milestone::fetched ? fetches_left_ : tasks_left_).load() == 0;
}

std::map<std::string, HostTensorPtr> Step::fetched() const {
  std::map<std::string, HostTensorPtr> result;
  const auto& slots = bound_.host_slots();
  for (const auto& [name, value] : bound_.graph().graph->fetches())
    for (std::size_t i = 0; i < slots.size(); ++i)
      if (slots[i].fetched && slots[i].value == value) result[name] = outputs_[i];
  return result;
}

std::vector<TaskTime> Step::times(std::int64_t origin_ns) const {
  std::vector<TaskTime> times;
  times.reserve(spans_.size());
  for (std::size_t i = 0; i < spans_.size(); ++i)
    times.push_back({calls_[i].record->task, spans_[i].worker,
                     static_cast<double>(spans_[i].start_ns - origin_ns) * 1e-3,
                     static_cast<double>(spans_[i].end_ns - origin_ns) * 1e-3});
  std::sort(times.begin(), times.end(),
            [](const TaskTime& a, const TaskTime& b) { return a.start_us < b.start_us; });
  return times;
}

}  // namespace hpdlf::runtime
