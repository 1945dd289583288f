// One step in flight: its inputs, its fetched tensors, and how many of its tasks are left.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "runtime/bind.hpp"
#include "runtime/executor.hpp"

namespace hpdlf::runtime {

/// Used again for a later step once all its tasks have ended. begin() and the results belong to the submitting thread,
/// task_ended() is called by the workers.
class Step final : public codelets::StepTasks {
 public:
  enum class Milestone : std::uint8_t { fetched, ended };

  explicit Step(const BoundGraph& bound);
  /// @throws Error naming the input that is missing or of another type.
  void begin(std::int64_t number, const StepInputs& inputs);
  [[nodiscard]] codelets::TaskCall* call(int slot) {
    return &calls_[static_cast<std::size_t>(slot)];
  }
  void task_ended(const codelets::TaskRecord& record, std::int64_t start_ns,
                  std::int64_t end_ns) noexcept override;

  [[nodiscard]] bool reached(Milestone milestone) const;
  /// True from begin() on, until the Step is used again.
  [[nodiscard]] bool holds(std::int64_t number) const { return used_ && step == number; }
  [[nodiscard]] bool is_used() const { return used_; }
  /// The fetched tensors by name; the step has reached `fetched`.
  [[nodiscard]] std::map<std::string, HostTensorPtr> fetched() const;
  /// Times of the tasks by start, relative to `origin_ns`; the step has ended.
  [[nodiscard]] std::vector<TaskTime> times(std::int64_t origin_ns) const;

  double submit_us = 0;
  std::mutex mutex;
  std::condition_variable changed;  ///< a milestone was reached

 private:
  struct Span {
    std::int64_t start_ns = 0, end_ns = 0;
    int worker = -1;
  };
  const BoundGraph& bound_;
  std::vector<codelets::TaskCall> calls_;  // [record]
  std::vector<Span> spans_;                // [record], each written by its own task
  std::vector<HostTensorPtr>
      inputs_;  // kept alive until the Step is used again; [host slot], null where fetched
  std::vector<std::shared_ptr<HostTensor>> outputs_;  // [host slot], null where fed
  std::atomic<int> tasks_left_ = 0, fetches_left_ = 0;
  bool used_ = false;
};

}  // namespace hpdlf::runtime
