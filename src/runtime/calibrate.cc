#include "runtime/calibrate.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstring>
#include <ctime>
#include <exception>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/atomic_file.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "codelets/kernel.hpp"
#include "runtime/comm.hpp"

namespace hpdlf::runtime {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kVersion =
    2;  ///< of the measurements below; caches of another version are measured anew
constexpr double kSecondsEach = 1.5;    ///< a measurement; three of them
constexpr std::int64_t kChannels = 32;  ///< of the convolution: the top levels of the bundled nets
constexpr std::int64_t kVoxels[] = {8, 32, 32};              ///< about 5 ms a call
constexpr std::size_t kStreamBytes = std::size_t{64} << 20;  ///< beyond any cache share of a core
constexpr double kUsableMemory =
    0.9;  ///< of the machine's; the rest is for the system and the page cache

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Seconds that the calling thread has computed: what other programs take from it does not count against the machine.
double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// A kernel call with operands of its own.
class Call {
 public:
  struct Operand {
    DType dtype;
    Extents extents;
  };
  Call(std::string_view op, const std::vector<Operand>& inputs, const Operand& output, Attrs attrs)
      : attrs_(std::move(attrs)) {
    for (const Operand& input : inputs) add(input);
    add(output);
    args_.inputs = std::span(views_).first(inputs.size());
    args_.outputs = std::span(views_).last(1);
    args_.attrs = &attrs_;
    kernel_ = &codelets::kernel_registry().select(op, "cpu", args_);
    const std::size_t bytes = kernel_->workspace != nullptr ? kernel_->workspace(args_) : 0;
    args_.workspace = {allocate(bytes), bytes};
  }
  ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  void run() const { kernel_->run(args_); }

 private:
  static constexpr std::size_t kAlignment = 64;
  std::byte* allocate(std::size_t bytes) {
    memory_.emplace_back(static_cast<std::byte*>(
                             std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment)),
                         &std::free);
    return memory_.back().get();
  }
  void add(const Operand& operand) {
    TensorView view = TensorView::dense(nullptr, operand.dtype, operand.extents);
    view.data = allocate(static_cast<std::size_t>(view.bytes()));
    std::memset(
        view.data, 0,
        static_cast<std::size_t>(view.bytes()));  // zeros: no denormals, and every page is there
    views_.push_back(view);
  }
  Attrs attrs_;
  std::vector<TensorView> views_;
  std::vector<std::unique_ptr<std::byte, decltype(&std::free)>> memory_;
  codelets::KernelArgs args_;
  const codelets::Kernel* kernel_ = nullptr;
};

/// Calls a second that one thread makes while `threads` of them do the same.
double calls_per_second(int threads, const std::function<std::unique_ptr<Call>()>& make_call) {
  std::vector<double> rates(static_cast<std::size_t>(threads), 0);
  std::vector<std::exception_ptr> errors(rates.size());
  std::barrier start(threads);
  const auto measure = [&](std::size_t i) {
    std::unique_ptr<Call> call;
    try {
      call = make_call();
      call->run();  // makes primitives, warms caches
    } catch (...) {
      errors[i] = std::current_exception();
    }
    start.arrive_and_wait();
    if (errors[i]) return;
    const auto begin = Clock::now();
    const double computed = thread_seconds();
    int calls = 0;
    do {
      call->run();
      ++calls;
    } while (seconds_since(begin) < kSecondsEach);
    rates[i] = calls / (thread_seconds() - computed);
  };
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < rates.size(); ++i) others.emplace_back(measure, i);
  measure(0);
  others.clear();  // joins
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum / threads;
}

double convolution_gflops(int threads, DType dtype) {
  const Extents x{1, kVoxels[0], kVoxels[1], kVoxels[2], kChannels};
  const Extents w{kChannels, 3, 3, 3, kChannels};
  const std::vector<std::int64_t> ones(3, 1);
  const Attrs attrs{{"kernel_shape", std::vector<std::int64_t>(3, 3)},
                    {"strides", ones},
                    {"pads", std::vector<std::int64_t>(6, 1)},
                    {"dilations", ones},
                    {"group", std::int64_t{1}}};
  const double flops = 2.0 * 27 * kChannels * static_cast<double>(x.elements());
  return 1e-9 * flops * calls_per_second(threads, [&] {
           return std::make_unique<Call>("Conv", std::vector<Call::Operand>{{dtype, x}, {dtype, w}},
                                         Call::Operand{dtype, x}, attrs);
         });
}

double streaming_gbytes(int threads) {
  const Call::Operand operand{DType::f32,
                              {static_cast<std::int64_t>(kStreamBytes / sizeof(float))}};
  constexpr double kPasses = 2;  // read one, write one
  return 1e-9 * kPasses * static_cast<double>(kStreamBytes) * calls_per_second(threads, [&] {
           return std::make_unique<Call>("Copy", std::vector<Call::Operand>{operand}, operand,
                                         Attrs{});
         });
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

/// What this rank may use: its share of the machine's memory, or of the limit of its control group.
std::int64_t usable_memory() {
  auto bytes =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::ifstream limit("/sys/fs/cgroup/memory.max");
  if (double value = 0; limit >> value) bytes = std::min(bytes, value);  // "max" is no number
  return static_cast<std::int64_t>(kUsableMemory * bytes / read_launch().local_ranks);
}

std::optional<nlohmann::json> read_cache(const std::filesystem::path& path,
                                         const std::string& key) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  auto cached = nlohmann::json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  const auto is_positive = [&](const char* name) {
    return cached.contains(name) && cached[name].is_number() && cached[name].get<double>() > 0;
  };
  const bool usable = cached.is_object() && cached.value("key", nlohmann::json()) == key &&
                      is_positive("gflops_f32") && is_positive("gflops_bf16") &&
                      is_positive("gbytes_per_s");
  if (!usable)
    spdlog::info("{} is from another machine or version: calibrating again", path.string());
  return usable ? std::optional(cached) : std::nullopt;
}

}  // namespace

partition::Machine calibrated_machine(int ranks, int workers, const std::filesystem::path& cache,
                                      bool force) {
  HPDLF_CHECK(ranks >= 1 && workers >= 1,
              "a machine has at least one rank and one worker, not {} and {}", ranks, workers);
  const int cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  partition::Machine machine;
  machine.name = processor_name();
  machine.ranks = ranks;
  machine.workers = workers;
  machine.memory_bytes = usable_memory();
  // Other ranks of this machine calibrate, and compute, at the same time.
  const std::string key =
      fmt::format("{} x{}, {} workers, {} local ranks, version {}", machine.name, cores, workers,
                  read_launch().local_ranks, kVersion);
  auto figures = force ? std::nullopt : read_cache(cache, key);
  if (!figures) {
    if (cache.has_parent_path())
      make_folders(cache.parent_path());  // fails before the measurements rather than after
    figures = {{"key", key},
               {"gflops_f32", convolution_gflops(workers, DType::f32)},
               {"gflops_bf16", convolution_gflops(workers, DType::bf16)},
               {"gbytes_per_s", streaming_gbytes(workers)}};
    write_file_atomically(cache, figures->dump(2) + "\n");
  }
  machine.gflops_f32 = figures->at("gflops_f32");
  machine.gflops_bf16 = figures->at("gflops_bf16");
  machine.gbytes_per_s = figures->at("gbytes_per_s");
  return machine;
}

}  // namespace hpdlf::runtime
