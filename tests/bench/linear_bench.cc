// GFLOP/s of the kernels of fully connected layers on GPT-2 124M's shapes, whole and cut by tokens or by outputs, and of MatMul as ONNX
// models have them, through the kernel registry as in training. By processor time, so that other programs disturb less. The weights are
// read from memory, as in a step.
//
//   linear_bench --benchmark_filter='LinearGradInput/fc'
#include <array>
#include <string>
#include <vector>

#include "bench/kernel_bench.hpp"

namespace hpdlf::codelets {
namespace {

struct Layer {
  const char* name;
  std::int64_t in, out;
};
constexpr std::array<Layer, 4> kLayers = {
    {{"qkv", 768, 2304}, {"proj", 768, 768}, {"fc", 768, 3072}, {"fc_proj", 3072, 768}}};

void run_layer(benchmark::State& state, const std::string& op, const Layer& layer,
               std::int64_t rows) {
  const Extents x{rows, layer.in}, w{layer.out, layer.in}, y{rows, layer.out};
  const std::array<Extents, 2> in = op == "MatMul"   ? std::array{x, Extents{layer.in, layer.out}}
                                    : op == "Linear" ? std::array{x, w}
                                    : op == "LinearGradInput" ? std::array{y, w}
                                                              : std::array{y, x};
  const Extents out = op == "Linear" || op == "MatMul" ? y : op == "LinearGradInput" ? x : w;
  constexpr std::int64_t kF32 = sizeof(float);
  Pool pool((in[0].elements() + in[1].elements() + out.elements()) * kF32);
  const Attrs attrs{
      {"contracted", std::int64_t{1}}, {"trans_a", std::int64_t{0}}, {"trans_b", std::int64_t{0}}};
  std::array<TensorView, 2> inputs;
  std::array<TensorView, 1> outputs;
  const auto place = [&] {
    std::byte* at = pool.next();
    for (std::size_t i = 0; i < 2; ++i) {
      inputs[i] = TensorView::dense(at, DType::f32, in[i]);
      at += in[i].elements() * kF32;
    }
    outputs[0] = TensorView::dense(at, DType::f32, out);
  };
  place();
  KernelArgs args{.inputs = inputs, .outputs = outputs, .attrs = &attrs};
  const auto flops = 2 * static_cast<double>(rows * layer.in * layer.out);
  time_kernel(state, op, args, {"GFLOP/s", flops}, place);
}

void register_layers() {
  for (const char* op : {"Linear", "LinearGradInput", "LinearGradWeight", "MatMul"})
    for (const Layer& layer : kLayers)
      for (const std::int64_t rows : {128, 256, 512})
        benchmark::RegisterBenchmark(
            (std::string(op) + "/" + layer.name + "/" + std::to_string(rows)).c_str(), run_layer,
            std::string(op), layer, rows)
            ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace hpdlf::codelets

int main(int argc, char** argv) {
  hpdlf::codelets::register_layers();
  return hpdlf::codelets::run_benchmarks(argc, argv);
}
