// GB/s of the passes of normalisation over the largest activations of the bundled 3-D U-Nets: what is read and written, once each. By
// processor time, so that other programs disturb less. Operands are read from memory, as in a step.
//
//   norm_bench --benchmark_filter='Moments'
#include <string>
#include <vector>

#include "bench/kernel_bench.hpp"

namespace hpdlf::codelets {
namespace {

/// An operator by its operands: activations [n, d, h, w, c], statistics [n, 2, c] in f64 and parameters [c].
enum class Operand : std::uint8_t { activation, statistics, parameter };
struct Pass {
  const char* op;
  std::vector<Operand> inputs;
  Operand output;
};

const std::vector<Pass>& passes() {
  using enum Operand;
  static const std::vector<Pass> table = {
      {"Moments", {activation}, statistics},
      {"Normalize", {activation, statistics, parameter, parameter}, activation},
      {"NormalizeGradSums", {activation, statistics, parameter, parameter, activation}, statistics},
      {"NormalizeGradInput",
       {activation, statistics, parameter, parameter, activation, statistics},
       activation}};
  return table;
}

void run_pass(benchmark::State& state, const Pass& pass, const Extents& x, DType dtype) {
  const auto view_of = [&](Operand operand) {
    if (operand == Operand::activation) return TensorView::dense(nullptr, dtype, x);
    if (operand == Operand::parameter) return TensorView::dense(nullptr, DType::f32, {x.back()});
    return TensorView::dense(nullptr, DType::f64, {x[0], 2, x.back()});
  };
  std::vector<TensorView> inputs;
  for (const Operand operand : pass.inputs) inputs.push_back(view_of(operand));
  std::vector<TensorView> outputs = {view_of(pass.output)};
  std::int64_t bytes = outputs[0].bytes();
  for (const TensorView& input : inputs) bytes += input.bytes();
  Pool pool(bytes);
  const auto place = [&] {
    std::byte* at = pool.next();
    for (auto* views : {&inputs, &outputs})
      for (TensorView& view : *views) {
        view.data = at;
        at += view.bytes();
      }
  };
  place();
  const Attrs attrs{{"epsilon", 1e-5}, {"activation", std::string("Relu")}, {"alpha", 0.0}};
  KernelArgs args{.inputs = inputs, .outputs = outputs, .attrs = &attrs};
  time_kernel(state, pass.op, args, {"GB/s", static_cast<double>(bytes)}, place);
}

void register_passes() {
  for (const Pass& pass : passes())
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const std::int64_t channels : {16, 32, 64}) {
        const Extents x{1, 16, 64, 2048 / channels, channels};
        benchmark::RegisterBenchmark((std::string(pass.op) + "/" + std::string(name_of(dtype)) +
                                      "/" + std::to_string(channels))
                                         .c_str(),
                                     run_pass, pass, x, dtype)
            ->Unit(benchmark::kMillisecond);
      }
}

}  // namespace
}  // namespace hpdlf::codelets

int main(int argc, char** argv) {
  hpdlf::codelets::register_passes();
  return hpdlf::codelets::run_benchmarks(argc, argv);
}
