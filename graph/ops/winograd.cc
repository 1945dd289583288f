// Convolution by Winograd's F(4x4, 3x3), F(2x4x4, 3x3x3) or F(4x4x4, 3x3x3): what graph/passes/use_winograd.cc puts in place of Conv,
// ConvGradInput and ConvGradWeight.
//   WinogradWeights          u = G g G^T of every tap along D and pair of channels, 36 numbers for 9; or along D too, 144 or 216 for 27
//   WinogradConv             y = Conv(x, w) from u; from transposed weights and complementary pads it is ConvGradInput
//   WinogradConvGradInput    ConvGradInput with a stride of 2 in H and W, from transposed weights
//   WinogradConvGradWeight   ConvGradWeight
//   Normalized...            the same of activation((x - shift) * scale + offset), which is never stored: graph/passes/fuse_normalize.cc
// x, dy and y are f32 or bf16, weights and all that is computed f32.
// Kernels of 3x3 in the last two dimensions, no groups; stride 1 but for WinogradConvGradInput. Formulas and sources:
// codelets/cpu/winograd-inl.hpp.
// SPDX-License-Identifier: Apache-2.0
#include "graph/ops/winograd.hpp"

#include <algorithm>

#include "base/winograd_limits.hpp"
#include "graph/ops/conv_shapes.hpp"

namespace hpdlf::graph {
namespace {

bool all_are_1(const std::vector<std::int64_t>& values) {
  return std::all_of(values.begin(), values.end(), [](auto v) { return v == 1; });
}

}  // namespace

std::int64_t winograd_stride(const Attrs& attrs) {
  const auto& kernel = attrs.integers("kernel_shape");
  const auto& strides = attrs.integers("strides");
  const std::size_t n = kernel.size(), h = n - 2, w = n - 1;
  const bool is_3x3 = (n == 2 || n == 3) && kernel[h] == 3 && kernel[w] == 3;
  const bool is_too_deep = n == 3 && kernel[0] > kMostWinogradTaps;
  if (!is_3x3 || is_too_deep || !all_are_1(attrs.integers("dilations")) ||
      attrs.integer("group") != 1)
    return 0;
  if (all_are_1(strides)) return 1;
  return strides.size() == n && strides[h] == 2 && strides[w] == 2 ? 2 : 0;
}

namespace {

constexpr std::int64_t kTile = 4;   // outputs along a transformed axis
constexpr std::int64_t kTaps = 3;   // along it
constexpr std::int64_t kIn = 6;     // products along it
constexpr std::int64_t kLine = 16;  // output channels whose weights lie together

std::int64_t lines(std::int64_t channels) { return (channels + kLine - 1) / kLine; }

/// Outputs along D that a tile has; more than 1 where D is transformed.
std::int64_t depth_of(const Attrs& attrs) { return attrs.integer("tile_depth"); }
bool transforms_depth(const Attrs& attrs) { return depth_of(attrs) > 1; }

/// Points of D: products along it for the outputs of a tile.
std::int64_t depth_points(const Attrs& attrs) {
  return transforms_depth(attrs) ? depth_of(attrs) + kTaps - 1 : 1;
}

/// Products of a tile and pair of channels.
std::int64_t points(const Attrs& attrs) { return kIn * kIn * depth_points(attrs); }

/// Of the gradient by x with a stride of 2, by an even phase of dx along an axis and by an odd one. All four phases hold kEven x kEven points,
/// but those of odd ones at inf, the last, have no products.
constexpr std::int64_t kEven = kIn - 1, kOdd = kEven - 1, kPhases = 4;
constexpr std::int64_t kPhaseProducts = (kEven + kOdd) * (kEven + kOdd);

/// Numbers that a line of outputs holds: those of `points`, each with a line of zeros that keeps it apart from the next in the caches.
std::int64_t line_elements(std::int64_t points, std::int64_t terms) {
  return points * (terms + 1) * kLine;
}
std::int64_t line_elements(const Attrs& attrs, std::int64_t taps, std::int64_t inputs) {
  return line_elements(points(attrs), (transforms_depth(attrs) ? 1 : taps) * inputs);
}
std::int64_t line_elements_of_phases(std::int64_t taps, std::int64_t inputs) {
  return line_elements(kPhases * kEven * kEven, taps * inputs);
}

/// Product of the kernel's extents without the last two.
std::int64_t direct_taps(const std::vector<std::int64_t>& kernel) {
  std::int64_t taps = 1;
  for (std::size_t i = 0; i + 2 < kernel.size(); ++i) taps *= kernel[i];
  return taps;
}

void check_geometry(const OpCall& call, std::int64_t stride = 1) {
  const Attrs& attrs = *call.attrs;
  HPDLF_CHECK(winograd_stride(attrs) == stride,
              "kernel_shape={}, strides={}, dilations={}, group={}: {} takes 3x3 or Dx3x3 with D "
              "up to {}, stride {}, dilation 1, one group",
              to_string(AttrValue(attrs.integers("kernel_shape"))),
              to_string(AttrValue(attrs.integers("strides"))),
              to_string(AttrValue(attrs.integers("dilations"))), attrs.integer("group"),
              call.spec->name, kMostWinogradTaps, stride == 1 ? "1" : "2 in H and W");
}

void check_tile_depth(const Attrs& attrs, std::int64_t taps) {
  const std::int64_t depth = depth_of(attrs);
  HPDLF_CHECK(depth == 1 || ((depth == 2 || depth == 4) && taps == kTaps),
              "tile_depth={} with {} taps along D: 1, or 2 or 4 for 3 taps", depth, taps);
}

void check_f32(const TensorType& type, const char* name) {
  HPDLF_CHECK(type.dtype == DType::f32, "{} is {}; Winograd transforms f32", name, to_string(type));
}

void infer_weights(OpCall& call) {
  const TensorType& w = call.input(0);
  check_f32(w, "w");
  const int rank = w.extents.rank();
  HPDLF_CHECK((rank == 4 || (rank == 5 && w.extents[1] <= kMostWinogradTaps)) &&
                  w.extents[rank - 2] == 3 && w.extents[rank - 3] == 3,
              "w is {}; Winograd takes [K, 3, 3, C] and [K, D, 3, 3, C] with D up to {}",
              to_string(w), kMostWinogradTaps);
  const bool transposed = call.attrs->integer("transposed") != 0;
  const std::int64_t outputs = transposed ? w.extents.back() : w.extents[0];
  const std::int64_t inputs = transposed ? w.extents[0] : w.extents.back();
  const std::int64_t taps = rank == 5 ? w.extents[1] : 1;
  check_tile_depth(*call.attrs, taps);
  const std::int64_t stride = call.attrs->integer("stride");
  HPDLF_CHECK(stride == 1 || (stride == 2 && transposed && !transforms_depth(*call.attrs)),
              "stride={}, transposed={}, tile_depth={}: 1, or 2 for the gradient by x "
              "(transposed=1) with tile_depth=1",
              stride, transposed ? 1 : 0, depth_of(*call.attrs));
  call.outputs = {{DType::f32,
                   {lines(outputs), stride == 1 ? line_elements(*call.attrs, taps, inputs)
                                                : line_elements_of_phases(taps, inputs)}}};
}

/// Coefficients [n or 1, 3, c] of NormalizeCoefficients follow x.
bool is_normalized(const OpCall& call) { return call.spec->name.starts_with("Normalized"); }

void check_coefficients(const OpCall& call) {
  if (!is_normalized(call)) return;
  const Extents& x = call.input(0).extents;
  const TensorType& given = call.input(1);
  const TensorType per_sample{DType::f32, {x[0], 3, x.back()}},
      overall{DType::f32, {1, 3, x.back()}};
  HPDLF_CHECK(given == per_sample || given == overall,
              "coefficients are {}; those of x {} are {} or {}", to_string(given), to_string(x),
              to_string(per_sample), to_string(overall));
}

void infer_winograd_conv(OpCall& call) {
  const TensorType& x = call.input(0);
  const TensorType& u = call.input(is_normalized(call) ? 2 : 1);
  check_coefficients(call);
  check_activation(x, "x");
  check_f32(u, "u");
  check_geometry(call);
  const std::int64_t channels = call.attrs->integer("channels");
  const std::int64_t taps = direct_taps(call.attrs->integers("kernel_shape"));
  check_tile_depth(*call.attrs, taps);
  const Extents expected{lines(channels), line_elements(*call.attrs, taps, x.extents.back())};
  HPDLF_CHECK(u.extents == expected, "u is {}, kernel_shape, channels={} and x {} make it {}",
              to_string(u), channels, to_string(x), to_string(expected));
  call.outputs = {{x.dtype, narrow_extents(x.extents, *call.attrs, channels)}};
}

void infer_winograd_grad_input(OpCall& call) {
  const TensorType& dy = call.input(0);
  const TensorType& u = call.input(1);
  check_f32(u, "u");
  check_geometry(call, 2);
  const TensorType x = input_of_gradient(dy, *call.attrs);
  const std::int64_t taps = direct_taps(call.attrs->integers("kernel_shape"));
  const Extents weights{lines(x.extents.back()), line_elements_of_phases(taps, dy.extents.back())};
  HPDLF_CHECK(u.extents == weights, "u is {}, kernel_shape, input_shape={} and dy {} make it {}",
              to_string(u), to_string(x.extents), to_string(dy), to_string(weights));
  call.outputs = {x};
}

void infer_winograd_grad_weight(OpCall& call) {
  const TensorType& x = call.input(0);
  const TensorType& dy = call.inputs.back();
  check_coefficients(call);
  check_float(x, "x");
  HPDLF_CHECK(dy.dtype == x.dtype, "dy is {}; for x {} it must be {}", to_string(dy), to_string(x),
              name_of(x.dtype));
  check_geometry(call);
  check_tile_depth(*call.attrs, direct_taps(call.attrs->integers("kernel_shape")));
  const Extents expected = narrow_extents(x.extents, *call.attrs, dy.extents.back());
  HPDLF_CHECK(dy.extents == expected, "dy is {}, convolving x {} gives {}", to_string(dy),
              to_string(x), to_string(expected));
  call.outputs = {{DType::f32, weight_extents(*call.attrs, x.extents.back(), dy.extents.back())}};
}

/// Output channels are cut between lines only.
std::string lines_dim() { return fmt::format("k*{}", kLine); }

std::string weights_rule(const OpCall& call) {
  const std::string taps = call.input(0).extents.rank() == 5 ? "r! s! t!" : "s! t!";
  const bool is_transposed = call.attrs->integer("transposed") != 0;
  return is_transposed ? fmt::format("c! {} {} -> k q!", taps, lines_dim())
                       : fmt::format("{} {} c! -> k q!", lines_dim(), taps);
}

/// ", n 3 c" where coefficients follow x.
std::string coefficient_dims(const OpCall& call, const char* channels) {
  if (!is_normalized(call)) return "";
  const bool is_overall = call.input(1).extents[0] != call.input(0).extents[0];
  return fmt::format(", {} 3 {}", is_overall ? "1" : "n", channels);
}

std::string winograd_conv_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return fmt::format("{}{}, k q!, {} -> {}", activation_dims(rank, "~", "c!"),
                     coefficient_dims(call, "c!"), lines_dim(),
                     activation_dims(rank, "", lines_dim()));
}

std::string winograd_grad_input_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return fmt::format("{}, k q! -> {}", activation_dims(rank, "^", "c!"),
                     activation_dims(rank, "", lines_dim()));
}

std::string winograd_grad_weight_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return fmt::format("{}{}, {} -> {}", activation_dims(rank, "~", "c"), coefficient_dims(call, "c"),
                     activation_dims(rank, "", "k"), weight_dims(rank, "k", "c"));
}

// ---- cost: products of whole tiles, and the transforms of whole lines

/// What a core computes in products while it transforms a channel of a tile, where D is transformed to one of its points: measured, as loads
/// and stores bound it, not arithmetic.
constexpr double kTransformFlops = 800, kPointTransformFlops = 915;
/// Transformed weights (or the sums of their gradient) of this many bytes double the time of the products while they pass by once for
/// every few tiles: measured. Smaller ones stay in the caches.
constexpr double kStreamedBytes = 32 << 20;
/// Channels of x and of dy that a weight gradient multiplies together unless L2 is large: for_each_channel_block() of
/// codelets/cpu/winograd_grad_weight.hpp.
constexpr std::int64_t kTogether = 64;

/// Axes of an activation that are transformed: the last ones before the channels.
int first_transformed(const OpCall& call, const Extents& y) {
  return y.rank() - (transforms_depth(*call.attrs) ? 4 : 3);
}

double tiles(const OpCall& call, const Extents& y) {
  double n = 1;
  for (int i = 0; i < y.rank() - 1; ++i) {
    const std::int64_t outputs = i < first_transformed(call, y) ? 1
                                 : i < y.rank() - 3             ? depth_of(*call.attrs)
                                                                : kTile;
    const std::int64_t count = (y[i] + outputs - 1) / outputs;
    n *= static_cast<double>(count);
  }
  return n;
}

/// Tiles of x that are transformed for a tile of y: where D is direct every plane is, once.
double input_tiles(const OpCall& call, const Extents& x, const Extents& y) {
  double n = 1;
  for (int i = 1; i < first_transformed(call, y); ++i)
    n *= static_cast<double>(x[i]) / static_cast<double>(y[i]);
  return n;
}

/// @param y what is tiled: the output, or for a gradient by weights dy
/// @param streams how often the points of all pairs of channels are read or written for a few tiles
/// @param most channels of x, and of y, that are multiplied together; the transforms of one are computed once for so many of the other
double winograd_flops(const OpCall& call, const Extents& y, int streams, std::int64_t most) {
  const Extents& x = call.input(0).extents;
  const std::int64_t c = x.back(), k = y.back();
  const bool is_3d = transforms_depth(*call.attrs);
  const double transform_flops =
      is_3d ? kPointTransformFlops * static_cast<double>(depth_points(*call.attrs))
            : kTransformFlops;
  const auto pairs = [&](std::int64_t cs, std::int64_t ks) {
    return static_cast<double>(points(*call.attrs) * cs * ks);
  };
  const double products = pairs(c, k), together = pairs(std::min(c, most), std::min(k, most));
  const double streaming = is_3d ? streams * sizeof(float) * together / kStreamedBytes : 0;
  const auto taps =
      static_cast<double>(is_3d ? 1 : direct_taps(call.attrs->integers("kernel_shape")));
  const auto transforms = [&](std::int64_t channels, std::int64_t others) {
    return static_cast<double>(lines(channels) * ((others + most - 1) / most));
  };
  const double lines_of_tile = input_tiles(call, x, y) * transforms(c, k) + transforms(k, c);
  return tiles(call, y) *
         (2 * taps * products * (1 + streaming) + transform_flops * kLine * lines_of_tile);
}

Cost winograd_conv_cost(const OpCall& call) {
  const Extents& y = call.output(0).extents;
  Cost cost = streaming_cost(call, 0);
  cost.flops = winograd_flops(call, y, 1, std::max(call.input(0).extents.back(), y.back()));
  return cost;
}

/// By planes of dx, in each of which a tile has 4 x 4 positions of every phase; dy, whose planes are fewer, is transformed once for all.
Cost winograd_grad_input_cost(const OpCall& call) {
  const Extents& x = call.output(0).extents;
  const std::int64_t c = x.back(), k = call.input(0).extents.back();
  const auto& strides = call.attrs->integers("strides");
  const auto depth_stride = static_cast<double>(strides.size() == 3 ? strides[0] : 1);
  const auto taps = static_cast<double>(direct_taps(call.attrs->integers("kernel_shape")));
  double tiles = 1;
  for (int i = 0; i < x.rank() - 1; ++i) {
    const std::int64_t positions = i < x.rank() - 3 ? 1 : 2 * kTile;
    tiles *= static_cast<double>((x[i] + positions - 1) / positions);
  }
  const double transform_flops = kTransformFlops * kLine * kEven * kEven / (kIn * kIn);
  const double transformed =
      static_cast<double>(lines(k)) / depth_stride + static_cast<double>(kPhases * lines(c));
  Cost cost = streaming_cost(call, 0);
  cost.flops = tiles * (2 * taps / depth_stride * static_cast<double>(kPhaseProducts * c * k) +
                        transform_flops * transformed);
  return cost;
}

Cost winograd_grad_weight_cost(const OpCall& call) {
  Cost cost = streaming_cost(call, 0);
  cost.flops = winograd_flops(call, call.inputs.back().extents, 2, kTogether);
  return cost;
}

Cost weights_cost(const OpCall& call) { return streaming_cost(call, 3); }

AttrSpec tile_depth() {
  return {"tile_depth", std::int64_t{1}, "outputs a tile has along D: 1, D is direct, or 2 or 4"};
}

/// The operator, and its twin that normalises x while it reads it.
void add_with_normalized(OpRegistry& registry, OpSpec spec) {
  registry.add(spec);
  spec.doc += " Of activation((x - shift) * scale + offset).";
  spec.name = "Normalized" + spec.name;
  spec.inputs.insert(spec.inputs.begin() + 1,
                     {"coefficients", "NormalizeCoefficients, f32 [N or 1, 3, C]"});
  spec.attrs.push_back({"activation", std::string(), "\"\", Relu or LeakyRelu"});
  spec.attrs.push_back({"alpha", 0.01, "slope of LeakyRelu for negative arguments"});
  registry.add(std::move(spec));
}

}  // namespace

void register_winograd_ops(OpRegistry& registry) {
  const OperandSpec x{"x", "f32 or bf16 [N, (D,) H, W, C]"};
  registry.add(
      {.name = "WinogradWeights",
       .doc = "Transforms the weights of a convolution for WinogradConv.",
       .inputs = {{"w", "f32 [K, (D,) 3, 3, C]"}},
       .outputs =
           {{"u",
             "f32 [outputs / 16, 36 * (D * inputs + 1) * 16], or 144 or 216 * (inputs + 1) * 16 "
             "with tile_depth 2 or 4: outputs K and inputs C, or C and K if transposed; 100 * (D "
             "* inputs + 1) * 16 with stride 2"}},
       .attrs = {{"transposed", std::int64_t{0},
                  "1: for the gradient by x: inputs and outputs change places, taps are mirrored"},
                 {"stride", std::int64_t{1},
                  "of the convolution in H and W: 1, or 2 if transposed"},
                 tile_depth()},
       .rule_for = weights_rule,
       .infer = infer_weights,
       .cost = weights_cost});
  add_with_normalized(
      registry,
      {.name = "WinogradConv",
       .doc = "Convolution with transformed weights, plus bias; or a convolution's "
              "gradient by x, if the "
              "weights are transposed ones.",
       .inputs = {x,
                  {"u", "WinogradWeights"},
                  {"bias", "f32 [channels]", OperandSpec::Arity::optional}},
       .outputs = {{"y", "like x: [N, (D',) H', W', channels]"}},
       .attrs = conv_attrs({{"channels", std::int64_t{1}, "channels of y", true}, tile_depth()}),
       .rule_for = winograd_conv_rule,
       .infer = infer_winograd_conv,
       .cost = winograd_conv_cost,
       .accumulates = true});
  registry.add(
      {.name = "WinogradConvGradInput",
       .doc = "Gradient by x of a convolution whose stride in H and W is 2.",
       .inputs = {{"dy", "like y of the convolution"}, {"u", "WinogradWeights, transposed"}},
       .outputs = {{"dx", "of extents input_shape"}},
       .attrs = conv_attrs({{"input_shape", std::vector<std::int64_t>{}, "extents of x", true}}),
       .rule_for = winograd_grad_input_rule,
       .infer = infer_winograd_grad_input,
       .cost = winograd_grad_input_cost,
       .accumulates = true});
  add_with_normalized(registry, {.name = "WinogradConvGradWeight",
                                 .doc = "Gradient of a 3x3 or Dx3x3 convolution by its weight.",
                                 .inputs = {x, {"dy", "like x: [N, (D',) H', W', K]"}},
                                 .outputs = {{"dw", "f32 [K, (D,) 3, 3, C]"}},
                                 .attrs = conv_attrs({tile_depth()}),
                                 .rule_for = winograd_grad_weight_rule,
                                 .infer = infer_winograd_grad_weight,
                                 .cost = winograd_grad_weight_cost,
                                 .accumulates = true});
}

}  // namespace hpdlf::graph
