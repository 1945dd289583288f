// Convolution, its transpose and their gradients. Channels last, weights plain [K, kernel..., C / group]:
//   Conv             y[o, k]  = b[k] + sum over taps t, c of x[o * stride - pad + t * dilation, c] w[k, t, c]
//   ConvGradInput    dx[i, c] = sum over k, o, t with o * stride - pad + t * dilation = i of dy[o, k] w[k, t, c]
//   ConvGradWeight   dw[k, t, c] = sum over o of x[o * stride - pad + t * dilation, c] dy[o, k]
//   ConvTranspose    ConvGradInput with a bias; its weight is [C, kernel..., K / group]: C channels in, K out
// With group = g, output channels k of group j see the input channels of group j only.
// Source: ONNX Conv-11 and ConvTranspose-11 without auto_pad. Kernels: codelets/cpu/conv.cc.
// SPDX-License-Identifier: Apache-2.0
#include "graph/ops/conv_shapes.hpp"
#include "graph/ops/grad_sum.hpp"

namespace hpdlf::graph {
namespace {

// ---- shapes

void check_weight(const TensorType& w, const Extents& expected) {
  check_float(w, "w");
  HPDLF_CHECK(w.extents == expected, "w is {}, kernel_shape, group and channels make it {}",
              to_string(w), to_string(expected));
}

void check_bias(const OpCall& call, std::int64_t channels) {
  if (call.inputs.size() < 3) return;
  check_float(call.input(2), "bias");
  HPDLF_CHECK(call.input(2).extents == Extents{channels},
              "bias is {}, there are {} output channels", to_string(call.input(2)), channels);
}

void infer_conv(OpCall& call) {
  const TensorType& x = call.input(0);
  const TensorType& w = call.input(1);
  check_activation(x, "x");
  HPDLF_CHECK(w.extents.rank() == x.extents.rank(),
              "w is {}, for x {} it must be [K, kernel..., C / group]", to_string(w), to_string(x));
  check_weight(w, weight_extents(*call.attrs, x.extents.back(), w.extents[0]));
  check_bias(call, w.extents[0]);
  call.outputs = {{x.dtype, narrow_extents(x.extents, *call.attrs, w.extents[0])}};
}

void infer_grad_input(OpCall& call) {
  const TensorType& dy = call.input(0);
  const TensorType x = input_of_gradient(dy, *call.attrs);
  check_weight(call.input(1), weight_extents(*call.attrs, x.extents.back(), dy.extents.back()));
  call.outputs = {x};
}

void infer_grad_weight(OpCall& call) {
  const TensorType& x = call.input(0);
  const TensorType& dy = call.input(1);
  check_activation(x, "x");
  check_activation(dy, "dy");
  const Extents expected = narrow_extents(x.extents, *call.attrs, dy.extents.back());
  HPDLF_CHECK(dy.extents == expected, "dy is {}, convolving x {} gives {}", to_string(dy),
              to_string(x), to_string(expected));
  call.outputs = {{DType::f32, weight_extents(*call.attrs, x.extents.back(), dy.extents.back())}};
}

void infer_conv_transpose(OpCall& call) {
  const TensorType& x = call.input(0);
  const TensorType& w = call.input(1);
  check_activation(x, "x");
  HPDLF_CHECK(w.extents.rank() == x.extents.rank(),
              "w is {}, for x {} it must be [C, kernel..., K / group]", to_string(w), to_string(x));
  const int spatial = x.extents.rank() - 2;
  const Windows windows = windows_from(*call.attrs, spatial);
  const auto& extra = call.attrs->integers("output_padding");
  HPDLF_CHECK(extra.empty() || static_cast<int>(extra.size()) == spatial,
              "output_padding={} has {} values, {} are needed", to_string(AttrValue(extra)),
              extra.size(), spatial);
  Extents y = x.extents;
  for (int i = 0; i < spatial; ++i) {
    const Window& window = windows[static_cast<std::size_t>(i)];
    const std::int64_t more = extra.empty() ? 0 : extra[static_cast<std::size_t>(i)];
    HPDLF_CHECK(more >= 0 && more < window.stride,
                "output_padding={} must be less than the stride {}", more, window.stride);
    y[i + 1] = (x.extents[i + 1] - 1) * window.stride + window.reach() + 1 - window.pad_lo -
               window.pad_hi + more;
    HPDLF_CHECK(y[i + 1] > 0, "pads {} and {} leave nothing of dimension {}, x is {}",
                window.pad_lo, window.pad_hi, i + 1, to_string(x));
  }
  y[spatial + 1] = w.extents.back() * call.attrs->integer("group");
  check_weight(w, weight_extents(*call.attrs, y.back(), x.extents.back()));
  check_bias(call, y.back());
  call.outputs = {{x.dtype, y}};
}

// ---- tiling. Kernel dimensions are r, s, t; with groups channels stay whole, and q are those of one group.

struct ChannelTokens {
  std::string narrow, wide, weight;  // weight: its last dimension
};

ChannelTokens channel_tokens(const OpCall& call, const char* narrow, const char* wide) {
  if (call.attrs->integer("group") == 1) return {narrow, wide, wide};
  return {std::string(narrow) + "!", std::string(wide) + "!", "q!"};
}

std::string conv_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  const auto [k, c, q] = channel_tokens(call, "k", "c");
  return fmt::format("{}, {}, {} -> {}", activation_dims(rank, "~", c), weight_dims(rank, k, q), k,
                     activation_dims(rank, "", k));
}

std::string grad_input_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  const auto [k, c, q] = channel_tokens(call, "k", "c");
  return fmt::format("{}, {} -> {}", activation_dims(rank, "^", k), weight_dims(rank, k, q),
                     activation_dims(rank, "", c));
}

std::string grad_weight_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  const auto [k, c, q] = channel_tokens(call, "k", "c");
  return fmt::format("{}, {} -> {}", activation_dims(rank, "~", c), activation_dims(rank, "", k),
                     weight_dims(rank, k, q));
}

std::string conv_transpose_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  const auto [c, k, q] = channel_tokens(call, "c", "k");
  return fmt::format("{}, {}, {} -> {}", activation_dims(rank, "^", c), weight_dims(rank, c, q), k,
                     activation_dims(rank, "", k));
}

// ---- cost: a multiplication and an addition a tap and pair of channels; taps that fall into the padding are counted too

/// Elements of a kernel times `channels`.
double taps(const OpCall& call, std::int64_t channels) {
  double n = static_cast<double>(channels);
  for (const auto k : call.attrs->integers("kernel_shape")) n *= static_cast<double>(k);
  return n;
}

Cost conv_cost(const OpCall& call) {
  return product_cost(call, taps(call, call.input(1).extents.back()));
}

/// By position of the wide tensor: each is reached by taps / strides windows, whatever the halo of the narrow one.
Cost transposed_cost(const OpCall& call) {
  const TensorType& narrow = call.input(0);
  double terms =
      taps(call, narrow.extents.back()) / static_cast<double>(call.attrs->integer("group"));
  const Windows windows = windows_from(*call.attrs, narrow.extents.rank() - 2);
  for (int i = 0; i < narrow.extents.rank() - 2; ++i)
    terms /= static_cast<double>(windows[static_cast<std::size_t>(i)].stride);
  return product_cost(call, terms);
}

Cost grad_weight_cost(const OpCall& call) {
  Cost cost = product_cost(call, 0);
  cost.flops =
      2 * taps(call, call.output(0).extents.back()) * static_cast<double>(call.input(1).elements());
  return cost;
}

// ---- gradients

void set_weight_gradient(GradContext& g, ValueId wide, ValueId narrow) {
  if (g.wants_grad(1))
    g.set_grad_input(1, g.emit("ConvGradWeight", {wide, narrow}, shared_attrs(g.attrs())));
}

void set_bias_gradient(GradContext& g) {
  if (g.node().inputs.size() < 3 || !g.wants_grad(2)) return;
  const int dims = g.type(g.output(0)).extents.rank() - 1;
  g.set_grad_input(2, emit_sum(g, g.grad_output(0), leading_axes(dims), false));
}

void conv_gradient(GradContext& g) {
  const ValueId dy = g.grad_output(0);
  set_weight_gradient(g, g.input(0), dy);
  set_bias_gradient(g);
  if (!g.wants_grad(0)) return;
  Attrs attrs = shared_attrs(g.attrs());
  const Extents& x = g.type(g.input(0)).extents;
  attrs.set("input_shape", std::vector<std::int64_t>(x.begin(), x.end()));
  g.set_grad_input(0, g.emit("ConvGradInput", {dy, g.input(1)}, attrs));
}

void conv_transpose_gradient(GradContext& g) {
  const ValueId dy = g.grad_output(0);
  set_weight_gradient(g, dy, g.input(0));
  set_bias_gradient(g);
  if (g.wants_grad(0))
    g.set_grad_input(0, g.emit("Conv", {dy, g.input(1)}, shared_attrs(g.attrs())));
}

}  // namespace

void register_conv_ops(OpRegistry& registry) {
  const OperandSpec x{"x", "f32 or bf16 [N, spatial..., C], 1 to 3 spatial dimensions"};
  const OperandSpec w{"w", "[K, kernel..., C / group]"};
  const OperandSpec bias{"bias", "[K]", OperandSpec::Arity::optional};
  const OperandSpec dy{"dy", "like y of the convolution"};
  registry.add({.name = "Conv",
                .onnx = {"Conv", 11},
                .doc = "Convolution (cross-correlation) of x with the kernels w, plus bias.",
                .inputs = {x, w, bias},
                .outputs = {{"y",
                             "[N, spatial'..., K], spatial' = (spatial + pads - dilation * (kernel "
                             "- 1) - 1) / stride + 1"}},
                .attrs = conv_attrs(),
                .rule_for = conv_rule,
                .infer = infer_conv,
                .cost = conv_cost,
                .gradient = conv_gradient,
                .accumulates = true,
                .bf16_inputs = {0, 1},
                .prefers_bf16 = true});
  registry.add(
      {.name = "ConvGradInput",
       .doc = "Gradient of Conv by x.",
       .inputs = {dy, w},
       .outputs = {{"dx", "of extents input_shape"}},
       .attrs = conv_attrs({{"input_shape", std::vector<std::int64_t>{}, "extents of x", true}}),
       .rule_for = grad_input_rule,
       .infer = infer_grad_input,
       .cost = transposed_cost,
       .accumulates = true});
  registry.add({.name = "ConvGradWeight",
                .doc = "Gradient of Conv by w, in f32.",
                .inputs = {x, dy},
                .outputs = {{"dw", "f32 [K, kernel..., C / group]"}},
                .attrs = conv_attrs(),
                .rule_for = grad_weight_rule,
                .infer = infer_grad_weight,
                .cost = grad_weight_cost,
                .accumulates = true});
  registry.add(
      {.name = "ConvTranspose",
       .onnx = {"ConvTranspose", 11},
       .doc = "Transposed convolution: the adjoint of Conv with the same attributes, plus bias.",
       .inputs = {x, {"w", "[C, kernel..., K / group]"}, bias},
       .outputs = {{"y",
                    "[N, spatial'..., K], spatial' = (spatial - 1) * stride + dilation * (kernel - "
                    "1) + 1 - pads + "
                    "output_padding"}},
       .attrs = conv_attrs({{"output_padding", std::vector<std::int64_t>{},
                             "added to the extents of y, less than the stride; empty: 0"}}),
       .rule_for = conv_transpose_rule,
       .infer = infer_conv_transpose,
       .cost = transposed_cost,
       .gradient = conv_transpose_gradient,
       .accumulates = true,
       .bf16_inputs = {0, 1},
       .prefers_bf16 = true});
}

}  // namespace hpdlf::graph
