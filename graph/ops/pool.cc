// Pooling and its gradients: the maximum or the average of a sliding window, channels kept apart.
//   MaxPool       y[o] = max over taps t of x[o * stride - pad + t * dilation]
//   MaxPoolGrad   dx[i] = sum of dy[o] over the windows o whose first maximum lies at i
//   AveragePool   y[o] = sum over taps inside x / number of taps (inside x, or all with count_include_pad)
// Source: ONNX MaxPool-12 and AveragePool-19 without auto_pad and ceil_mode. Kernels: codelets/cpu/pool.cc.
// SPDX-License-Identifier: Apache-2.0
#include "base/window.hpp"
#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {
namespace {

std::vector<AttrSpec> window_attrs(std::initializer_list<AttrSpec> more = {}) {
  std::vector<AttrSpec> attrs = {
      {"kernel_shape", std::vector<std::int64_t>{},
       "extents of the window, one a spatial dimension", true},
      {"strides", std::vector<std::int64_t>{}, "steps between windows; empty: 1"},
      {"pads", std::vector<std::int64_t>{}, "padding, all begins and then all ends; empty: 0"},
      {"dilations", std::vector<std::int64_t>{}, "steps between taps; empty: 1"}};
  attrs.insert(attrs.end(), more);
  return attrs;
}

double taps_of(const Attrs& attrs, int spatial) {
  const Windows windows = windows_from(attrs, spatial);
  double taps = 1;
  for (int i = 0; i < spatial; ++i)
    taps *= static_cast<double>(windows[static_cast<std::size_t>(i)].kernel);
  return taps;
}

/// Extents of the pooled tensor. @throws Error if a window lies wholly in the padding.
Extents pooled_extents(const Extents& x, const Attrs& attrs) {
  HPDLF_CHECK(x.rank() >= 3 && x.rank() <= 5,
              "x is {}; pooling takes [N, spatial..., C] with 1 to 3 spatial dimensions",
              to_string(x));
  const int spatial = x.rank() - 2;
  const Windows windows = windows_from(attrs, spatial);
  Extents y = x;
  for (int i = 0; i < spatial; ++i) {
    const Window& w = windows[static_cast<std::size_t>(i)];
    const std::int64_t extent = x[i + 1];
    y[i + 1] = w.outputs(extent);
    HPDLF_CHECK(
        y[i + 1] > 0,
        "a window of {} (dilation {}) does not fit in dimension {} of x {} with pads {} and {}",
        w.kernel, w.dilation, i + 1, to_string(x), w.pad_lo, w.pad_hi);
    for (std::int64_t o = 0; o < y[i + 1]; ++o) {
      bool inside = false;
      for (std::int64_t t = 0; t < w.kernel && !inside; ++t) {
        const std::int64_t at = w.first(o) + t * w.dilation;
        inside = at >= 0 && at < extent;
      }
      HPDLF_CHECK(inside,
                  "window {} along dimension {} of x {} lies wholly in the padding ({} and {})", o,
                  i + 1, to_string(x), w.pad_lo, w.pad_hi);
    }
  }
  return y;
}

void infer_pool(OpCall& call) {
  call.outputs = {{call.input(0).dtype, pooled_extents(call.input(0).extents, *call.attrs)}};
}

void infer_max_pool_grad(OpCall& call) {
  const TensorType& x = call.input(0);
  const TensorType expected{x.dtype, pooled_extents(x.extents, *call.attrs)};
  HPDLF_CHECK(call.input(1) == expected, "dy is {}, the pooled x is {}", to_string(call.input(1)),
              to_string(expected));
  call.outputs = {x};
}

void infer_average_pool_grad(OpCall& call) {
  const TensorType x{call.input(0).dtype, Extents(std::span(call.attrs->integers("input_shape")))};
  const Extents expected = pooled_extents(x.extents, *call.attrs);
  HPDLF_CHECK(call.input(0).extents == expected, "dy is {}, pooling input_shape={} gives {}",
              to_string(call.input(0)), to_string(x.extents), to_string(expected));
  call.outputs = {x};
}

/// The dimensions with `suffix` on the spatial ones.
std::string spatial_dims(int rank, const std::string& suffix) {
  return rule_dims(rank, [&](int i, const std::string& letter) {
    return i > 0 && i < rank - 1 ? letter + suffix : letter;
  });
}

std::string pool_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return spatial_dims(rank, "~") + " -> " + spatial_dims(rank, "");
}

std::string average_pool_grad_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return spatial_dims(rank, "^") + " -> " + spatial_dims(rank, "");
}

/// The factors are positions of dx. Every window that reaches one must be seen whole: x to window reach on both sides.
std::string max_pool_grad_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  const Windows windows = windows_from(*call.attrs, rank - 2);
  const std::string x = rule_dims(rank, [&](int i, const std::string& letter) {
    const bool spatial = i > 0 && i < rank - 1;
    return spatial ? fmt::format("{}~{}", letter, windows[static_cast<std::size_t>(i - 1)].reach())
                   : letter;
  });
  return x + ", " + spatial_dims(rank, "^") + " -> " + spatial_dims(rank, "");
}

Cost pool_cost(const OpCall& call) {
  return streaming_cost(call, taps_of(*call.attrs, call.input(0).extents.rank() - 2));
}

/// Work follows the windows, that is dy, not dx.
Cost pool_grad_cost(const OpCall& call) {
  const TensorType& dy = call.inputs.back();
  Cost cost = streaming_cost(call, 0);
  cost.flops = 2 * taps_of(*call.attrs, dy.extents.rank() - 2) * static_cast<double>(dy.elements());
  return cost;
}

void max_pool_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("MaxPoolGrad", {g.input(0), g.grad_output(0)}, g.attrs()));
}

void average_pool_gradient(GradContext& g) {
  Attrs attrs = g.attrs();
  const Extents x = g.type(g.input(0)).extents;
  attrs.set("input_shape", std::vector<std::int64_t>(x.begin(), x.end()));
  g.set_grad_input(0, g.emit("AveragePoolGrad", {g.grad_output(0)}, attrs));
}

}  // namespace

void register_pool_ops(OpRegistry& registry) {
  const OperandSpec x{"x", "f32 or bf16 [N, spatial..., C]"};
  const OperandSpec y{"y",
                      "[N, spatial'..., C], spatial' = (spatial + pads - dilation * (kernel - 1) - "
                      "1) / stride + 1"};
  const OperandSpec dy{"dy", "like the pooled tensor"};
  const AttrSpec count_include_pad{"count_include_pad", std::int64_t{0},
                                   "1: divide by all taps, padding included"};
  const OperandSpec dx{"dx", "like the tensor that was pooled"};
  registry.add({.name = "MaxPool",
                .onnx = {"MaxPool", 12},
                .doc = "The largest element of each window; padding never wins.",
                .inputs = {x},
                .outputs = {y},
                .attrs = window_attrs(),
                .rule_for = pool_rule,
                .infer = infer_pool,
                .cost = pool_cost,
                .gradient = max_pool_gradient,
                .bf16_inputs = {0}});
  registry.add({.name = "MaxPoolGrad",
                .doc = "Gradient of MaxPool by x; the first of equal maxima takes it.",
                .inputs = {x, dy},
                .outputs = {dx},
                .attrs = window_attrs(),
                .rule_for = max_pool_grad_rule,
                .infer = infer_max_pool_grad,
                .cost = pool_grad_cost});
  registry.add({.name = "AveragePool",
                .onnx = {"AveragePool", 19},
                .doc = "The average of each window.",
                .inputs = {x},
                .outputs = {y},
                .attrs = window_attrs({count_include_pad}),
                .rule_for = pool_rule,
                .infer = infer_pool,
                .cost = pool_cost,
                .gradient = average_pool_gradient,
                .bf16_inputs = {0}});
  registry.add({.name = "AveragePoolGrad",
                .doc = "Gradient of AveragePool by x.",
                .inputs = {dy},
                .outputs = {dx},
                .attrs = window_attrs({count_include_pad,
                                       {"input_shape", std::vector<std::int64_t>{},
                                        "extents of the tensor that was pooled", true}}),
                .rule_for = average_pool_grad_rule,
                .infer = infer_average_pool_grad,
                .cost = pool_grad_cost});
}

}  // namespace hpdlf::graph
