// What benchmarks of kernels share: memory, the call through the kernel registry, the rate.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <benchmark/benchmark.h>
#include <memory>
#include <string>

#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

/// Zeros, 64-byte aligned; first touched by the thread that uses them.
class Buffer {
 public:
  explicit Buffer(std::int64_t bytes)
      : bytes_(static_cast<std::size_t>(bytes) + 64), data_(new std::byte[bytes_]()) {}
  [[nodiscard]] std::byte* data() const {
    void* p = data_.get();
    std::size_t room = bytes_;
    return static_cast<std::byte*>(std::align(64, bytes_ - 64, p, room));
  }

 private:
  std::size_t bytes_;
  std::unique_ptr<std::byte[]> data_;
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
