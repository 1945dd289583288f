// What benchmarks of kernels share: memory, the call through the kernel registry, the rate.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <memory>
#include <string>
#include <sys/mman.h>

#include "base/sample_numbers.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

/// Sample numbers on huge pages where the system has them, as training's pool; first touched by the thread that uses them.
class Buffer {
 public:
  explicit Buffer(std::int64_t bytes)
      : data_(static_cast<std::byte*>(std::aligned_alloc(kPage, rounded(bytes))), &std::free) {
    madvise(data_.get(), rounded(bytes), MADV_HUGEPAGE);
    fill_sample_numbers({data_.get(), rounded(bytes)});
  }
  [[nodiscard]] std::byte* data() const { return data_.get(); }

 private:
  static constexpr std::size_t kPage = std::size_t{2} << 20;
  static std::size_t rounded(std::int64_t bytes) {
    return (static_cast<std::size_t>(bytes) / kPage + 1) * kPage;
  }
  std::unique_ptr<std::byte, decltype(&std::free)> data_;
};

/// Memory of all operands, more than the caches hold: each round takes the next piece.
class Pool {
 public:
  explicit Pool(std::int64_t bytes_a_round)
      : step_((bytes_a_round + 63) / 64 * 64),
        rounds_(std::max<std::int64_t>(1, kPoolBytes / step_)),
        memory_(step_ * rounds_) {}
  [[nodiscard]] std::byte* next() { return memory_.data() + step_ * (round_++ % rounds_); }

 private:
  static constexpr std::int64_t kPoolBytes = std::int64_t{256} << 20;
  std::int64_t step_, rounds_, round_ = 0;
  Buffer memory_;
};

/// What a call does of something, in thousands of millions a second.
struct Rate {
  const char* name;  ///< "GFLOP/s"
  double a_call;
};

/// Times the kernel that training would choose for the call. `prepare` may exchange the operands' data before each run.
template <class Prepare>
void time_kernel(benchmark::State& state, const std::string& op, KernelArgs& args, const Rate& rate,
                 const Prepare& prepare) {
  const Kernel& chosen = kernel_registry().select(op, "cpu", args);
  const auto bytes =
      static_cast<std::int64_t>(chosen.workspace != nullptr ? chosen.workspace(args) : 0);
  const Buffer workspace(bytes);
  args.workspace = {workspace.data(), static_cast<std::size_t>(bytes)};
  state.SetLabel(chosen.variant);
  for (auto _ : state) {
    prepare();
    chosen.run(args);
  }
  state.counters[rate.name] = benchmark::Counter(
      rate.a_call * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

/// The rest of main().
inline int run_benchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace hpdlf::codelets
