#include "runtime/measure.hpp"

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstring>
#include <ctime>
#include <exception>
#include <optional>
#include <starpu.h>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "codelets/kernel.hpp"
#include "runtime/memory.hpp"

namespace hpdlf::runtime {
namespace {

constexpr std::size_t kCachedBytes = std::size_t{32}
                                     << 20;  ///< more than a core's share of the caches
constexpr std::size_t kMostSets = 4;
constexpr int kLeastRuns = 3;
constexpr double kLeastSeconds = 100e-6;  ///< of a run: shorter calls are made several times

/// Seconds that the calling thread has computed: what other programs take from it does not count against the machine.
double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::size_t aligned(std::size_t bytes) {
  return (bytes / Arena::kAlignment + 1) * Arena::kAlignment;
}

TensorView view_of(const partition::KernelCall::Operand& operand) {
  TensorView view = TensorView::dense(nullptr, operand.dtype, operand.box.extents());
  view.origin = operand.box.lo;
  view.whole = operand.whole;
  return view;
}

/// The call on several sets of operands, one after the other, so that none is in the caches any more when its turn comes.
class Runner {
 public:
  explicit Runner(const partition::KernelCall& call) : attrs_(*call.attrs) {
    for (const auto& operand : call.inputs) views_.push_back(view_of(operand));
    for (const auto& operand : call.outputs) views_.push_back(view_of(operand));
    args_.attrs = &attrs_;
    point_to(views_, call.inputs.size());
    kernel_ = &codelets::kernel_registry().select(call.spec->name, "cpu", args_);

    std::size_t set = 0;
    for (const TensorView& view : views_) set += aligned(static_cast<std::size_t>(view.bytes()));
    const std::size_t sets = std::clamp<std::size_t>(kCachedBytes / set, 1, kMostSets);
    const std::size_t workspace = kernel_->workspace != nullptr ? kernel_->workspace(args_) : 0;
    memory_.emplace(sets * set + aligned(workspace) + Arena::kHugePage);
    args_.workspace = {allocate(workspace), workspace};
    for (std::size_t s = 0; s < sets; ++s) {
      sets_.push_back(views_);
      for (TensorView& view : sets_.back()) {
        view.data = allocate(static_cast<std::size_t>(view.bytes()));
        std::memset(view.data, 0, static_cast<std::size_t>(view.bytes()));
      }
    }
  }
  void run() {
    point_to(sets_[next_++ % sets_.size()], args_.inputs.size());
    kernel_->run(args_);
  }

 private:
  void point_to(const std::vector<TensorView>& views, std::size_t inputs) {
    args_.inputs = std::span(views).first(inputs);
    args_.outputs = std::span(views).subspan(inputs);
  }
  std::byte* allocate(std::size_t bytes) {
    void* block = memory_->allocate(std::max<std::size_t>(bytes, 1));
    HPDLF_CHECK(block != nullptr, "no memory for {} bytes", bytes);
    return static_cast<std::byte*>(block);
  }

  Attrs attrs_;
  std::vector<TensorView> views_;
  std::optional<Arena> memory_;
  std::vector<std::vector<TensorView>> sets_;
  std::size_t next_ = 0;
  codelets::KernelArgs args_;
  const codelets::Kernel* kernel_ = nullptr;
};

/// Least seconds of a call among runs that last `seconds`.
double least_seconds(Runner& runner, double seconds) {
  const auto timed = [&](int calls) {
    const double begin = thread_seconds();
    for (int i = 0; i < calls; ++i) runner.run();
    return std::max(1e-9, (thread_seconds() - begin) / calls);
  };
  double least = timed(1);
  const int calls = static_cast<int>(std::ceil(kLeastSeconds / least));
  double left = seconds - least;
  for (int run = 1; run < kLeastRuns || left > 0; ++run) {
    const double found = timed(calls);
    least = std::min(least, found);
    left -= calls * found;
  }
  return least;
}

/// Idle workers of StarPU poll for tasks: they sleep meanwhile.
class PausedWorkers {
 public:
  PausedWorkers() : paused_(starpu_is_initialized() != 0) {
    if (paused_) starpu_pause();
  }
  ~PausedWorkers() {
    if (paused_) starpu_resume();
  }
  PausedWorkers(const PausedWorkers&) = delete;
  PausedWorkers& operator=(const PausedWorkers&) = delete;

 private:
  bool paused_;
};

}  // namespace

double measure(const partition::KernelCall& call, int threads, double seconds) {
  const PausedWorkers paused;
  std::vector<double> least(static_cast<std::size_t>(threads), 0);
  std::vector<std::exception_ptr> errors(least.size());
  std::barrier start(threads);
  const auto work = [&](std::size_t i) {
    std::optional<Runner> runner;
    try {
      runner.emplace(call);
      runner->run();  // makes primitives
    } catch (...) {
      errors[i] = std::current_exception();
    }
    start.arrive_and_wait();
    if (errors[i]) return;
    try {
      least[i] = least_seconds(*runner, seconds);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  };
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < least.size(); ++i) others.emplace_back(work, i);
  work(0);
  others.clear();  // joins
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  double sum = 0;
  for (const double value : least) sum += value;
  return sum / threads;
}

}  // namespace hpdlf::runtime
