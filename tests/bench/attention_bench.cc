// GFLOP/s of attention's kernels on GPT-2 124M's shapes, half of its heads at a time as two workers take them, through the kernel registry
// as in training.
//
//   attention_bench --benchmark_filter='Grad/1024/bf16'
#include <string>
#include <vector>

#include "bench/kernel_bench.hpp"
#include "codelets/cpu/workspace_layout.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::codelets {
namespace {

constexpr std::int64_t kHeads = 6, kFeatures = 64;

void run_attention(benchmark::State& state, const std::string& op, DType dtype,
                   std::int64_t samples, std::int64_t tokens) {
  const graph::OpSpec& spec = graph::op_registry().at(op);
  const Attrs attrs = graph::complete_attrs(spec, {});
  const Extents qkv{samples, tokens, kHeads, 3, kFeatures}, out{samples, tokens, kHeads, kFeatures},
      lse{samples, tokens, kHeads};
  std::vector<graph::TensorType> types = {{dtype, qkv}};
  if (op == "SelfAttentionGrad")
    types.insert(types.end(), {{dtype, out}, {DType::f32, lse}, {dtype, out}});
  graph::OpCall call{&spec, &attrs, types, {}};
  spec.infer(call);
  types.insert(types.end(), call.outputs.begin(), call.outputs.end());

  WorkspaceLayout layout;
  std::vector<std::int64_t> offsets;
  for (const auto& type : types) offsets.push_back(layout.add(type.bytes()));
  Pool pool(static_cast<std::int64_t>(layout.bytes()));
  std::vector<TensorView> views(types.size());
  const auto place = [&] {
    std::byte* base = pool.next();
    for (std::size_t i = 0; i < types.size(); ++i)
      views[i] = TensorView::dense(base + offsets[i], types[i].dtype, types[i].extents);
  };
  place();
  const std::span<TensorView> all(views);
  KernelArgs args{.inputs = all.first(call.inputs.size()),
                  .outputs = all.subspan(call.inputs.size()),
                  .attrs = &attrs};
  time_kernel(state, op, args, {"GFLOP/s", spec.cost(call).flops}, place);
}

void register_cases() {
  for (const char* op : {"SelfAttention", "SelfAttentionGrad"})
    for (const auto& [samples, tokens] : {std::pair{1, 1024}, {4, 64}})
      for (const DType dtype : {DType::f32, DType::bf16})
        benchmark::RegisterBenchmark(
            (std::string(op) + "/" + std::to_string(tokens) + "/" + std::string(name_of(dtype)))
                .c_str(),
            run_attention, std::string(op), dtype, samples, tokens)
            ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace hpdlf::codelets

int main(int argc, char** argv) {
  hpdlf::codelets::register_cases();
  return hpdlf::codelets::run_benchmarks(argc, argv);
}
