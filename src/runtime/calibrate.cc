#include "runtime/calibrate.hpp"

#include <limits>
#include <unistd.h>
#include <utility>

#include "base/cache_dir.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "codelets/cpu/onednn_info.hpp"
#include "graph/tiling_rule.hpp"
#include "runtime/launch.hpp"
#include "runtime/session_impl.hpp"
#include "runtime/usable_memory.hpp"

namespace hpdlf::runtime {
namespace {

constexpr int kVersion =
    12;  ///< of the measurements and the kernels; those of another are made anew
constexpr double kRateSeconds = 0.5;      ///< a rate is measured for; three of them
constexpr double kKernelSeconds = 12e-3;  ///< a kernel is
constexpr std::int64_t kMostBytes = std::int64_t{512} << 20;  ///< of its operands
constexpr std::int64_t kChannels = 32;  ///< of the convolution: the top levels of the bundled nets
constexpr std::int64_t kVoxels[] = {8, 16, 16};               ///< less than 1 ms a call
constexpr std::int64_t kStreamBytes = std::int64_t{4} << 20;  ///< so are these
constexpr double kUnknown = 0;
constexpr double kImpossible = std::numeric_limits<double>::infinity();

/// A call of a whole operator with the attributes that it refers to.
class WholeCall {
 public:
  WholeCall(std::string_view op, const Attrs& attrs, const std::vector<graph::TensorType>& inputs)
      : spec_(graph::op_registry().at(op)), attrs_(complete_attrs(spec_, attrs)) {
    graph::OpCall call{&spec_, &attrs_, inputs, {}};
    spec_.infer(call);
    const graph::TilingRule rule = graph::tiling_rule(call);
    call_ = partition::kernel_call(call, rule, rule.iteration_space());
  }
  WholeCall(const WholeCall&) = delete;
  WholeCall& operator=(const WholeCall&) = delete;

  [[nodiscard]] const partition::KernelCall& call() const { return call_; }
  [[nodiscard]] double flops() const { return cost_of(call_).flops; }

 private:
  const graph::OpSpec& spec_;
  Attrs attrs_;
  partition::KernelCall call_;
};

std::string processor_name() {
  std::string name = field_of("/proc/cpuinfo", "model name");
  return name.empty() ? "unknown processor" : name;
}

/// What all keys of this machine in the database begin with.
std::string machine_name() {
  return fmt::format("{} x{}, ", processor_name(), sysconf(_SC_NPROCESSORS_ONLN));
}

std::int64_t bytes_of(const partition::KernelCall& call) {
  std::int64_t bytes = 0;
  for (const auto* operands : {&call.inputs, &call.outputs})
    for (const auto& operand : *operands)
      bytes += operand.box.elements() * static_cast<std::int64_t>(size_of(operand.dtype));
  return bytes;
}

WholeCall convolution(DType dtype) {
  const Attrs same_size{{"kernel_shape", std::vector<std::int64_t>(3, 3)},
                        {"pads", std::vector<std::int64_t>(6, 1)}};
  return WholeCall("Conv", same_size,
                   {{dtype, {1, kVoxels[0], kVoxels[1], kVoxels[2], kChannels}},
                    {dtype, {kChannels, 3, 3, 3, kChannels}}});
}

}  // namespace

/// What this machine's rates are measured by, and what the times of kernels are compared with.
struct Calibration::Rates {
  WholeCall conv_f32 = convolution(DType::f32), conv_bf16 = convolution(DType::bf16);
  WholeCall copy{"Copy", {}, {{DType::f32, {kStreamBytes / std::int64_t{sizeof(float)}}}}};
  double conv_seconds = kUnknown, copy_seconds = kUnknown;  ///< in f32
};

Calibration::Calibration(const std::filesystem::path& file, int workers, Session* session,
                         std::function<void()> on_measuring)
    : session_(session),
      workers_(static_cast<int>(least_of_ranks(workers))),
      rates_(std::make_unique<Rates>()),
      processor_(processor_name()),
      on_measuring_(std::move(on_measuring)) {
  HPDLF_CHECK(workers >= 1, "a machine has at least one worker, not {}", workers);
  if (workers_ < workers)
    spdlog::warn("this rank has {} workers and another {}: the plan is made for {} a rank", workers,
                 workers_, workers_);
  if (session_ != nullptr && session_->rank() != 0) return;
  // Other ranks of this machine calibrate, and compute, at the same time.
  // A processor of the same name may have fewer instructions, as a virtual machine or ONEDNN_MAX_CPU_ISA has it.
  const codelets::OnednnInfo dnnl = codelets::onednn_info();
  stored_.emplace(
      file,
      fmt::format("{}oneDNN {} for {}, {} workers, {} local ranks", machine_name(), dnnl.version,
                  dnnl.instruction_set, workers_, read_launch().local_ranks),
      kVersion);
}

Calibration::~Calibration() = default;

partition::Machine Calibration::machine(int ranks) {
  HPDLF_CHECK(ranks >= 1, "a machine has at least one rank, not {}", ranks);
  time_references();
  const WholeCall& bf16 = rates_->conv_bf16;
  partition::Machine machine;
  machine.name = processor_;
  machine.ranks = ranks;
  machine.workers = workers_;
  machine.memory_bytes = least_of_ranks(usable_memory(read_launch().local_ranks));
  machine.gflops_f32 = 1e-9 * rates_->conv_f32.flops() / rates_->conv_seconds;
  machine.gflops_bf16 = 1e-9 * bf16.flops() / time_of_rate(bf16.call());
  machine.gbytes_per_s = 2e-9 * kStreamBytes / rates_->copy_seconds;  // read and written
  return machine;
}

void Calibration::time_references() {
  if (rates_->conv_seconds != kUnknown) return;
  rates_->conv_seconds = time_of_rate(rates_->conv_f32.call());
  rates_->copy_seconds = time_of_rate(rates_->copy.call());
}

double Calibration::time_of_rate(const partition::KernelCall& call) {
  const double seconds = time_of(call, Role::rate);
  HPDLF_CHECK(seconds < kImpossible, "this machine cannot be measured: it cannot run {}",
              to_string(call));
  return seconds;
}

std::vector<Reference> Calibration::references_of(const partition::KernelCall& call) const {
  constexpr double kNegligible = 0.1;
  const graph::Cost cost = cost_of(call);
  const double computing = cost.flops / rates_->conv_f32.flops() * rates_->conv_seconds;
  const double streaming = (cost.bytes_read + cost.bytes_written) /
                           static_cast<double>(2 * kStreamBytes) * rates_->copy_seconds;
  const double share = computing > 0 ? streaming / (computing + streaming) : 1;
  std::vector<Reference> references;
  if (share <= 1 - kNegligible)
    references.push_back({rates_->conv_f32.call(), rates_->conv_seconds, 1 - share});
  if (share >= kNegligible)
    references.push_back({rates_->copy.call(), rates_->copy_seconds, share});
  if (references.size() == 1) references.front().share = 1;
  return references;
}

std::optional<double> Calibration::seconds(const partition::KernelCall& call) {
  if (bytes_of(call) > kMostBytes) return std::nullopt;
  time_references();
  const double found = time_of(call, Role::kernel);
  return found < kImpossible ? std::optional(found) : std::nullopt;
}

double Calibration::time_of(const partition::KernelCall& call, Role role) {
  const std::string name = to_string(call);
  if (const auto known = told_.find(name); known != told_.end()) return known->second;
  std::optional<double> found = stored_ ? stored_->find(name) : std::nullopt;
  std::optional<KernelDatabase::Writing> writing;
  if (stored_ && !found) {
    writing.emplace(*stored_);
    found = stored_->find(name);  // another process may have measured it meanwhile
  }
  double seconds = of_first_rank(found.value_or(kUnknown));
  if (seconds == kUnknown) seconds = measured(call, name, role);
  told_.emplace(name, seconds);
  return seconds;
}

double Calibration::measured(const partition::KernelCall& call, const std::string& name,
                             Role role) {
  if (stored_ && on_measuring_) std::exchange(on_measuring_, {})();
  double seconds = kImpossible;
  try {
    seconds = role == Role::rate ? measure(call, workers_, kRateSeconds)
                                 : measure(call, workers_, kKernelSeconds, references_of(call));
  } catch (const Error& error) {
    spdlog::debug("not measured: {}: {}", name, error.message());
  }
  seconds = of_first_rank(seconds);
  if (stored_) stored_->add(name, seconds);
  return seconds;
}

double Calibration::of_first_rank(double value) const {
  if (session_ == nullptr || session_->ranks() == 1) return value;
  if (!stored_) value = 0;  // no bit of the sum
  session_->impl().comm->combine(std::as_writable_bytes(std::span(&value, 1)), -1);
  return value;
}

std::int64_t Calibration::least_of_ranks(std::int64_t value) const {
  return session_ != nullptr ? session_->least(value) : value;
}

void forget_measurements(const std::filesystem::path& file) {
  try {
    KernelDatabase(file, machine_name(), kVersion).forget(machine_name());
  } catch (const DamagedDatabase&) {
    std::filesystem::remove(file);
  }
}

std::filesystem::path calibration_file() { return cache_dir() / "machine.sqlite"; }

}  // namespace hpdlf::runtime
