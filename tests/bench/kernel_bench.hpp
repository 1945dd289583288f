// What benchmarks of kernels share: memory, the call through the kernel registry, the rate.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <sys/mman.h>

#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

/// Zeros on huge pages where the system has them, as training's pool; first touched by the thread that uses them.
class Buffer {
 public:
  explicit Buffer(std::int64_t bytes)
      : data_(static_cast<std::byte*>(std::aligned_alloc(kPage, rounded(bytes))), &std::free) {
    madvise(data_.get(), rounded(bytes), MADV_HUGEPAGE);
    std::memset(data_.get(), 0, rounded(bytes));
  }
  [[nodiscard]] std::byte* data() const { return data_.get(); }

 private:
  static constexpr std::size_t kPage = std::size_t{2} << 20;
  static std::size_t rounded(std::int64_t bytes) {
    return (static_cast<std::size_t>(bytes) / kPage + 1) * kPage;
  }
  std::unique_ptr<std::byte, decltype(&std::free)> data_;
};

/// Times the kernel that training would choose for the call. `prepare` may exchange the operands' data before each run; `flops` are those of one.
template <class Prepare>
void time_kernel(benchmark::State& state, const std::string& op, KernelArgs& args, double flops,
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
  state.counters["GFLOP/s"] = benchmark::Counter(
      flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

/// The rest of main().
inline int run_benchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace hpdlf::codelets
