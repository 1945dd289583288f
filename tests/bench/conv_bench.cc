// GFLOP/s (of the direct algorithm's operations) of the convolution kernels on slabs of the default 3-D U-Net (filters 16-32-64-128 at
// 48 x 112 x 96) and of the MLPerf one at 64^3, through the kernel registry: the first kernel that supports the call, as in training.
// By processor time, so that other programs disturb less.
//
//   conv_bench --benchmark_filter='GradWeight/conv_32'
#include <string>
#include <vector>

#include "base/window.hpp"
#include "bench/kernel_bench.hpp"

namespace hpdlf::codelets {
namespace {

/// A layer of the net: from c to k channels, `out` the extents of the narrow tensor (x of a ConvTranspose).
struct Layer {
  const char* name;
  std::int64_t c, k, kernel, stride;
  Extents out;
};

const std::vector<Layer> kLayers = {{"first_1_16", 1, 16, 3, 1, {48, 112, 96}},
                                    {"conv_16_16", 16, 16, 3, 1, {48, 112, 96}},
                                    {"down_16_32", 16, 32, 3, 2, {24, 56, 48}},
                                    {"conv_32_32", 32, 32, 3, 1, {24, 56, 48}},
                                    {"down_32_64", 32, 64, 3, 2, {12, 28, 24}},
                                    {"conv_64_64", 64, 64, 3, 1, {12, 28, 24}},
                                    {"down_64_128", 64, 128, 3, 2, {6, 14, 12}},
                                    {"conv_128_128", 128, 128, 3, 1, {6, 14, 12}},
                                    {"up_64_128", 64, 128, 2, 2, {6, 14, 12}},
                                    {"up_32_64", 32, 64, 2, 2, {12, 28, 24}},
                                    {"up_16_32", 16, 32, 2, 2, {24, 56, 48}},
                                    {"head_16_5", 16, 5, 1, 1, {48, 112, 96}},
                                    {"conv_32_32_64", 32, 32, 3, 1, {24, 64, 64}},
                                    {"down_32_64_64", 32, 64, 3, 2, {24, 32, 32}},
                                    {"down_64_128_32", 64, 128, 3, 2, {12, 16, 16}},
                                    {"down_256_320_8", 256, 320, 3, 2, {6, 4, 4}},
                                    {"up_64_32_32", 32, 64, 2, 2, {24, 32, 32}},
                                    {"conv_64_64_32", 64, 64, 3, 1, {24, 32, 32}},
                                    {"conv_128_128_16", 128, 128, 3, 1, {24, 16, 16}},
                                    {"conv_256_256_8", 256, 256, 3, 1, {12, 8, 8}},
                                    {"conv_320_320_4", 320, 320, 3, 1, {6, 4, 4}},
                                    {"conv_192_64_64", 192, 64, 3, 1, {24, 64, 64}},
                                    {"conv_384_128_32", 384, 128, 3, 1, {24, 32, 32}},
                                    {"conv_768_256_16", 768, 256, 3, 1, {24, 16, 16}}};

/// A slab in the middle of the tensor `whole`, planes [lo, hi) of D.
struct Operand {
  Buffer buffer;
  TensorView view;
  Operand(const Extents& extents, const Extents& whole, std::int64_t lo)
      : buffer(extents.elements() * 4),
        view(TensorView::dense(buffer.data(), DType::f32, extents)) {
    view.whole = whole;
    if (extents.rank() == 5) view.origin[1] = lo;
  }
};

/// `op` on one of `slabs` slabs of a layer; interior, so that it has its halos.
void run_layer(benchmark::State& state, const std::string& op, const Layer& layer,
               std::int64_t slabs, std::int64_t tile_depth) {
  const std::vector<std::int64_t> kernel(3, layer.kernel), strides(3, layer.stride),
      pads(6, layer.kernel == 3 ? 1 : 0);
  const Extents wide_whole{1, layer.out[0] * layer.stride, layer.out[1] * layer.stride,
                           layer.out[2] * layer.stride, layer.c};
  const Extents narrow_whole{1, layer.out[0], layer.out[1], layer.out[2], layer.k};
  Attrs attrs{{"kernel_shape", kernel},
              {"strides", strides},
              {"pads", pads},
              {"dilations", std::vector<std::int64_t>{}},
              {"group", std::int64_t{1}}};
  const Window window{.kernel = layer.kernel, .stride = layer.stride, .pad_lo = pads[0]};
  const bool transposed = op.ends_with("ConvGradInput") || op == "ConvTranspose";
  if (op == "WinogradConvGradInput")
    attrs.set("input_shape", std::vector<std::int64_t>(wide_whole.begin(), wide_whole.end()));
  else if (op.starts_with("Winograd"))
    attrs.set("tile_depth", tile_depth);

  // Planes of the slab of the written (or, for the weight gradient, the narrow) tensor, and those of the other that it meets.
  Extents wide = wide_whole, narrow = narrow_whole;
  const std::int64_t planes = layer.out[0] / slabs;
  narrow[1] = planes;
  std::int64_t wide_lo = window.first(planes), narrow_lo = planes;
  wide[1] = (planes - 1) * layer.stride + window.reach() + 1;
  if (transposed) {
    wide[1] = planes * layer.stride;
    wide_lo = wide[1];
    const std::int64_t reach = (window.reach() - pads[0] + layer.stride - 1) / layer.stride;
    narrow_lo = planes - reach;
    narrow[1] =
        std::min(narrow_whole[1], (wide_lo + wide[1] - 1 + pads[0]) / layer.stride + 1) - narrow_lo;
  }
  Extents weight{layer.k, layer.kernel, layer.kernel, layer.kernel, layer.c};
  if (op == "WinogradConv")
    weight = {(layer.k + 15) / 16, tile_depth == 1 ? 36 * (layer.kernel * layer.c + 1) * 16
                                                   : 36 * (tile_depth + 2) * (layer.c + 1) * 16};
  if (op == "WinogradConvGradInput")
    weight = {(layer.c + 15) / 16, 100 * (layer.kernel * layer.k + 1) * 16};
  Operand w(weight, weight, 0);
  Operand x(wide, wide_whole, wide_lo), y(narrow, narrow_whole, narrow_lo);

  KernelArgs args{.attrs = &attrs};
  const bool by_weight = op.ends_with("GradWeight");
  const std::array<TensorView, 2> inputs = by_weight    ? std::array{x.view, y.view}
                                           : transposed ? std::array{y.view, w.view}
                                                        : std::array{x.view, w.view};
  const std::array<TensorView, 1> outputs = {by_weight ? w.view : transposed ? x.view : y.view};
  args.inputs = inputs;
  args.outputs = outputs;
  const auto positions = static_cast<double>(planes * layer.out[1] * layer.out[2]);
  const auto taps = static_cast<double>(layer.kernel * layer.kernel * layer.kernel);
  const double flops = 2 * positions * taps * static_cast<double>(layer.c * layer.k);
  time_kernel(state, op, args, {"GFLOP/s", flops}, [] {});
}

void register_layers() {
  constexpr std::int64_t kSlabs = 3;  // the middle one has both halos
  for (const auto& layer : kLayers) {
    const bool up = std::string_view(layer.name).starts_with("up");
    std::vector<std::string> ops = {up ? "ConvTranspose" : "Conv", up ? "Conv" : "ConvGradInput",
                                    "ConvGradWeight"};
    if (layer.kernel == 3) {
      ops.emplace_back(layer.stride == 1 ? "WinogradConv" : "WinogradConvGradInput");
      if (layer.stride == 1) ops.emplace_back("WinogradConvGradWeight");
    }
    for (const std::string& op : ops)
      benchmark::RegisterBenchmark((op + "/" + layer.name).c_str(), run_layer, op, layer, kSlabs, 1)
          ->Unit(benchmark::kMillisecond);
    if (layer.kernel == 3 && layer.stride == 1)
      for (const char* op : {"WinogradConv", "WinogradConvGradWeight"})
        for (const std::int64_t depth : {2, 4})
          benchmark::RegisterBenchmark(
              (op + ("/depth" + std::to_string(depth)) + "_" + layer.name).c_str(), run_layer, op,
              layer, kSlabs, depth)
              ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace
}  // namespace hpdlf::codelets

int main(int argc, char** argv) {
  hpdlf::codelets::register_layers();
  return hpdlf::codelets::run_benchmarks(argc, argv);
}
