#include "runtime/measure.hpp"

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstring>
#include <ctime>
#include <deque>
#include <exception>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/error.hpp"
#include "base/median.hpp"
#include "base/sample_numbers.hpp"
#include "codelets/kernel.hpp"
#include "runtime/memory.hpp"
#include "runtime/paused_workers.hpp"

namespace hpdlf::runtime {
namespace {

constexpr std::size_t kFewestRuns = 3;
constexpr double kShortestRun = 100e-6;  ///< seconds; shorter calls are made several times

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

#if defined(__x86_64__)
bool has_clflushopt() {
  constexpr unsigned kExtendedFeatures = 7, kBit = 1U << 23U;  // of EBX
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(kExtendedFeatures, 0, &a, &b, &c, &d) != 0 && (b & kBit) != 0;
}
__attribute__((target("clflushopt"))) void evict_lines(const std::byte* data, std::int64_t bytes) {
  constexpr std::int64_t kLine = 64;
  for (std::int64_t i = 0; i < bytes; i += kLine) __builtin_ia32_clflushopt(data + i);
  __builtin_ia32_mfence();
}
/// Out of all caches, where the processor can do that.
void evict(const std::byte* data, std::int64_t bytes) {
  static const bool is_possible = has_clflushopt();
  if (is_possible) evict_lines(data, bytes);
}
#else
void evict(const std::byte*, std::int64_t) {}
#endif

/// The call on operands that are in no cache when a run begins.
class Runner {
 public:
  explicit Runner(const partition::KernelCall& call) : attrs_(*call.attrs) {
    for (const auto& operand : call.inputs) views_.push_back(view_of(operand));
    for (const auto& operand : call.outputs) views_.push_back(view_of(operand));
    args_.attrs = &attrs_;
    args_.inputs = std::span(views_).first(call.inputs.size());
    args_.outputs = std::span(views_).subspan(call.inputs.size());
    kernel_ = &codelets::kernel_registry().select(call.spec->name, "cpu", args_);

    std::size_t bytes = 0;
    for (const TensorView& view : views_) bytes += aligned(static_cast<std::size_t>(view.bytes()));
    const std::size_t workspace = kernel_->workspace != nullptr ? kernel_->workspace(args_) : 0;
    memory_.emplace(bytes + aligned(workspace) + Arena::kHugePage);
    args_.workspace = {allocate(workspace), workspace};
    for (TensorView& view : views_) {
      const auto size = static_cast<std::size_t>(view.bytes());
      std::byte* data = allocate(size);
      if (is_float(view.dtype))
        fill_sample_numbers({data, size});
      else
        std::memset(data, 0, size);  // an index or label that exists
      view.data = data;
    }
    kernel_->run(args_);  // makes primitives
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  /// Seconds of one of `calls` calls.
  [[nodiscard]] double run(int calls = 1) {
    for (const TensorView& view : views_)
      evict(static_cast<const std::byte*>(view.data), view.bytes());
    const double begin = thread_seconds();
    for (int i = 0; i < calls; ++i) kernel_->run(args_);
    return std::max(1e-9, (thread_seconds() - begin) / calls);
  }

 private:
  std::byte* allocate(std::size_t bytes) {
    void* block = memory_->allocate(std::max<std::size_t>(bytes, 1));
    HPDLF_CHECK(block != nullptr, "no memory for {} bytes", bytes);
    return static_cast<std::byte*>(block);
  }

  Attrs attrs_;
  std::vector<TensorView> views_;
  std::optional<Arena> memory_;
  codelets::KernelArgs args_;
  const codelets::Kernel* kernel_ = nullptr;
};

/// How much slower this core is than when the references were timed: its clock and its share of the memory vary with what else the machine does.
class Pace {
 public:
  explicit Pace(std::span<const Reference> references) : references_(references) {
    for (const Reference& reference : references) runners_.emplace_back(reference.call);
  }
  /// 1 without references.
  [[nodiscard]] double slowdown() {
    if (references_.empty()) return 1;
    double sum = 0;
    for (std::size_t i = 0; i < references_.size(); ++i)
      sum += references_[i].share * runners_[i].run() / references_[i].seconds;
    return sum;
  }

 private:
  std::span<const Reference> references_;
  std::deque<Runner> runners_;
};

/// Median seconds of a call among runs, each at the pace of the moments before and after it; `seconds` for all that.
double typical_seconds(Runner& runner, Pace& pace, double seconds) {
  const double end = thread_seconds() + seconds;
  std::vector<double> found;
  double before = pace.slowdown();
  int calls = 1;
  while (found.size() < kFewestRuns || thread_seconds() < end) {
    const double time = runner.run(calls), after = pace.slowdown();
    found.push_back(time / (0.5 * (before + after)));
    before = after;
    calls = static_cast<int>(std::ceil(kShortestRun / time));
  }
  return median(std::move(found));
}

}  // namespace

double measure(const partition::KernelCall& call, int threads, double seconds,
               std::span<const Reference> references) {
  const PausedWorkers paused;
  std::vector<double> found(static_cast<std::size_t>(threads), 0);
  std::vector<std::exception_ptr> errors(found.size());
  std::barrier start(threads);
  const auto work = [&](std::size_t i) {
    std::optional<Runner> runner;
    std::optional<Pace> pace;
    try {
      runner.emplace(call);
      pace.emplace(references);
    } catch (...) {
      errors[i] = std::current_exception();
    }
    start.arrive_and_wait();
    if (errors[i]) return;
    try {
      found[i] = typical_seconds(*runner, *pace, seconds);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  };
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < found.size(); ++i) others.emplace_back(work, i);
  work(0);
  others.clear();  // joins
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  double sum = 0;
  for (const double value : found) sum += value;
  return sum / threads;
}

}  // namespace hpdlf::runtime
