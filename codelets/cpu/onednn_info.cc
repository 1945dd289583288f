#include "codelets/cpu/onednn_info.hpp"

#include <dnnl.hpp>
#include <fmt/format.h>
#include <utility>

namespace hpdlf::codelets {

OnednnInfo onednn_info() {
  const dnnl_version_t* v = dnnl::version();
  static const std::pair<dnnl::cpu_isa, const char*> kNames[] = {
      {dnnl::cpu_isa::sse41, "SSE4.1"},
      {dnnl::cpu_isa::avx, "AVX"},
      {dnnl::cpu_isa::avx2, "AVX2"},
      {dnnl::cpu_isa::avx2_vnni, "AVX2 with VNNI"},
      {dnnl::cpu_isa::avx512_core, "AVX-512"},
      {dnnl::cpu_isa::avx512_core_vnni, "AVX-512 with VNNI"},
      {dnnl::cpu_isa::avx512_core_bf16, "AVX-512 with bf16"},
      {dnnl::cpu_isa::avx512_core_fp16, "AVX-512 with fp16"},
      {dnnl::cpu_isa::avx512_core_amx, "AVX-512 with AMX"},
  };
  OnednnInfo info{fmt::format("{}.{}.{}", v->major, v->minor, v->patch), "portable code only"};
  for (const auto& [isa, name] : kNames)
    if (dnnl::get_effective_cpu_isa() == isa) info.instruction_set = name;
  return info;
}

}  // namespace hpdlf::codelets
