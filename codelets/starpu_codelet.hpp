// The bridge from StarPU to kernels: one C entry for every operator, and the starpu_codelet that carries an operator's name.
//
// A task of a bound graph is described by a TaskRecord, made once; each submission of it by a TaskCall (record + step), which is
// the task's cl_arg. The entry builds the tensor views from StarPU's buffers, calls the kernel and stores the first failure of
// the graph in a latch; once it is set the remaining tasks only report that they ended. Nothing is allocated a task.
// Kernels never see StarPU, and nobody above the runtime includes this file.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <starpu.h>
#include <string>
#include <string_view>
#include <vector>

#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

/// Keeps the first failure among concurrent tasks.
class FailureLatch {
 public:
  struct Failure {
    int task = -1;  ///< TaskRecord::task
    std::exception_ptr error;
  };
  [[nodiscard]] bool is_set() const noexcept { return is_set_.load(std::memory_order_acquire); }
  /// Called by any thread; all but the first call are ignored.
  void set(int task, std::exception_ptr error) noexcept;
  /// Empties the latch.
  [[nodiscard]] std::optional<Failure> take();

 private:
  std::atomic<bool> is_set_ = false;
  std::mutex mutex_;
  Failure failure_;
};

/// Keeps the first output, in the order of the task graph, that is not finite.
class FiniteWatch {
 public:
  struct Finding {
    int task = -1;    ///< TaskRecord::task
    int output = -1;  ///< index among the task's outputs
  };
  /// Called by any thread.
  void note(Finding finding) noexcept;
  /// Empties the watch. No task may be running.
  [[nodiscard]] std::optional<Finding> take();

 private:
  std::atomic<std::int64_t> first_ = kNothing;  ///< task, then output: one number to compare
  static constexpr std::int64_t kNothing = INT64_MAX;
};

/// Where a task finds one operand.
struct BoundOperand {
  TensorView view;          ///< complete but for `data`
  std::int64_t offset = 0;  ///< bytes from the start of its memory to element 0 of the view
  int buffer = -1;          ///< index of the StarPU buffer, or -1 for ...
  int host = -1;            ///< ... an index into StepTasks::host
};

/// What never changes between two submissions of a task. Owned by the bound graph, outlives its tasks.
struct TaskRecord {
  int task = -1;  ///< index in the task graph
  int slot = -1;  ///< index among the records of this rank
  const Kernel* kernel = nullptr;
  const Attrs* attrs = nullptr;
  std::vector<BoundOperand> operands;  ///< inputs, then outputs
  int inputs = 0;
  bool accumulate = false;
  bool is_fetch = false;
  double estimate_us = 1;  ///< read by StarPU's schedulers; finite and > 0
  // What StarPU is told.
  starpu_codelet* codelet = nullptr;
  std::string name;  ///< one word: StarPU's traces do not quote it
  double flops = 0;  ///< for the traces
  unsigned color = 0;
  int priority = 0;
  std::vector<std::uint32_t> workers;          ///< bit set of worker ids; empty: any
  std::vector<starpu_data_handle_t> handles;   ///< each once
  std::vector<starpu_data_access_mode> modes;  ///< one a handle
};

/// Address of one of the buffers that StarPU gives to a task. Its interface holds addresses as integers.
[[nodiscard]] inline void* address_of(void* buffer) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return reinterpret_cast<void*>(STARPU_VARIABLE_GET_PTR(buffer));
}

/// What the tasks of one submitted step share.
class StepTasks {
 public:
  virtual ~StepTasks() = default;
  /// Called once at the end of every task, by the worker that ran (or skipped) it. Times of std::chrono::steady_clock.
  virtual void task_ended(const TaskRecord& record, std::int64_t start_ns,
                          std::int64_t end_ns) noexcept = 0;

  std::int64_t step = 0;
  std::uint64_t seed = 0;
  FailureLatch* latch = nullptr;
  FiniteWatch* watch = nullptr;                      ///< null: outputs are not looked at
  std::span<const std::span<std::byte>> workspaces;  ///< one a worker
  std::vector<void*> host;                           ///< memory of the host tensors of this step
};

/// One submission of a record: the cl_arg of its StarPU task.
struct TaskCall {
  const TaskRecord* record = nullptr;
  StepTasks* step = nullptr;
};

/// The record's kernel arguments without data, for Kernel::supports and Kernel::workspace. `views` is the storage.
[[nodiscard]] KernelArgs shape_args(const TaskRecord& record, std::vector<TensorView>& views);

/// One starpu_codelet an operator name. StarPU keeps pointers to them until it shuts down, so the session owns this.
class StarpuCodelets {
 public:
  StarpuCodelets() = default;
  ~StarpuCodelets() = default;
  StarpuCodelets(const StarpuCodelets&) = delete;
  StarpuCodelets& operator=(const StarpuCodelets&) = delete;
  [[nodiscard]] starpu_codelet* get(std::string_view op);

 private:
  struct Entry {
    std::string name;
    starpu_perfmodel model{};
    starpu_codelet codelet{};
  };
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;
};

}  // namespace hpdlf::codelets
