// Copy and Fill on the CPU.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/element.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {
namespace {

void fill(const KernelArgs& args) {
  const TensorView& y = args.out(0);
  const auto rows = Rows::dense({&y});
  const auto size = static_cast<std::int64_t>(size_of(y.dtype));
  std::array<std::byte, 4096>
      block;  // copied in pieces: memcpy is vectorised for every element size
  const auto per_block = static_cast<std::int64_t>(block.size()) / size;
  for (std::int64_t i = 0; i < per_block; ++i)
    store_element(block.data(), y.dtype, i, args.attrs->real("value"));
  rows.for_each([&](const std::int64_t* at) {
    auto* out = static_cast<std::byte*>(y.data) + at[0] * size;
    for (std::int64_t i = 0; i < rows.length(); i += per_block)
      std::memcpy(out + i * size, block.data(),
                  static_cast<std::size_t>(std::min(per_block, rows.length() - i) * size));
  });
}

}  // namespace

void register_movement_cpu(KernelRegistry& registry) {
  // A Copy of one part is a Cast whose target type the output tells; families are registered in order, layout before movement.
  const auto found = registry.find("Cast", "cpu");
  HPDLF_ASSERT(!found.empty(), "the Cast kernels must be registered before Copy");
  const std::vector<Kernel> casts(found.begin(), found.end());
  for (Kernel kernel : casts) {
    kernel.op = "Copy";
    registry.add(std::move(kernel));
  }
  registry.add({.op = "Fill", .variant = "memcpy", .run = fill});
}

}  // namespace hpdlf::codelets
