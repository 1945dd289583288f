#include "codelets/kernel.hpp"

namespace hpdlf::codelets {

#define HPDLF_OP_FAMILY(family) void register_##family##_cpu(KernelRegistry& registry);
#include "base/op_families.def"
#undef HPDLF_OP_FAMILY

void KernelRegistry::add(Kernel kernel) {
  HPDLF_ASSERT(kernel.run != nullptr, "kernel of {} without a function", kernel.op);
  const std::string key = kernel.op + "@" + kernel.device;
  for (auto& [name, list] : kernels_)
    if (name == key) {
      list.push_back(std::move(kernel));
      return;
    }
  kernels_.push_back({key, {std::move(kernel)}});
}

std::span<const Kernel> KernelRegistry::find(std::string_view op, std::string_view device) const {
  const std::string key = fmt::format("{}@{}", op, device);
  for (const auto& [name, list] : kernels_)
    if (name == key) return list;
  return {};
}

const Kernel& KernelRegistry::select(std::string_view op, std::string_view device,
                                     const KernelArgs& args) const {
  const auto candidates = find(op, device);
  for (const auto& kernel : candidates)
    if (kernel.supports == nullptr || kernel.supports(args)) return kernel;
  std::string operands;
  for (const auto& v : args.inputs)
    operands +=
        fmt::format("{}{}{}", operands.empty() ? "" : ", ", name_of(v.dtype), to_string(v.extents));
  std::string variants;
  for (const auto& kernel : candidates) variants += (variants.empty() ? "" : ", ") + kernel.variant;
  throw Error(fmt::format("no {} kernel for {}({}); {}", device, op, operands,
                          candidates.empty()
                              ? "the operator has none on this device"
                              : "none of its kernels (" + variants + ") takes these operands"));
}

const KernelRegistry& kernel_registry() {
  static const KernelRegistry registry = [] {
    KernelRegistry r;
#define HPDLF_OP_FAMILY(family) register_##family##_cpu(r);
#include "base/op_families.def"
#undef HPDLF_OP_FAMILY
    return r;
  }();
  return registry;
}

}  // namespace hpdlf::codelets
