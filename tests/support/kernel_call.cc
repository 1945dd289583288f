#include "support/kernel_call.hpp"

#include <memory>

namespace hpdlf::test {

void run_kernel(const codelets::Kernel& kernel, codelets::KernelArgs args) {
  constexpr std::size_t kAlignment = 64;  // what KernelArgs promises
  const std::size_t bytes = kernel.workspace == nullptr ? 0 : kernel.workspace(args);
  constexpr std::byte kNaN{0xff};  // as f32, f64 and bf16: what is read before it is written shows
  std::vector<std::byte> storage(bytes + kAlignment, kNaN);
  void* start = storage.data();
  std::size_t room = storage.size();
  args.workspace = {static_cast<std::byte*>(std::align(kAlignment, bytes, start, room)), bytes};
  kernel.run(args);
}

void run_kernel(std::string_view op, const codelets::KernelArgs& args) {
  run_kernel(codelets::kernel_registry().select(op, "cpu", args), args);
}

}  // namespace hpdlf::test
