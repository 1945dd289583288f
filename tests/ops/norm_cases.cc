// Cases of the normalisations.
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

using Tensors = std::vector<RefTensor>;

/// Statistics of x, [n, 2, c] or [1, 2, c] as `sums` is shaped.
void fill_sums(const RefTensor& x, RefTensor& sums) {
  std::fill(sums.data.begin(), sums.data.end(), 0);
  for_each_index(x.extents, [&](const Extents& i) {
    const std::int64_t n = sums.dim(0) == 1 ? 0 : i[0];
    sums(n, 0, i.back()) += x.at(i);
    sums(n, 1, i.back()) += x.at(i) * x.at(i);
  });
}

struct Moments {
  double mean, deviation;
};
/// Of the statistic that element `i` belongs to.
Moments moments_at(const ReferenceCall& call, const Extents& i) {
  const RefTensor &x = call.in(0), &sums = call.in(1);
  const auto count = static_cast<double>(x.elements() / x.dim(-1) / sums.dim(0));
  const std::int64_t n = sums.dim(0) == 1 ? 0 : i[0];
  const double mean = sums(n, 0, i.back()) / count;
  return {mean, std::sqrt(sums(n, 1, i.back()) / count - mean * mean + call.attrs.real("epsilon"))};
}

double slope_for_negative(const Attrs& attrs) {
  if (attrs.string("activation") == "Relu") return 0;
  return attrs.string("activation") == "LeakyRelu" ? attrs.real("alpha") : 1;
}
double activated(double z, const Attrs& attrs) { return z > 0 ? z : slope_for_negative(attrs) * z; }

/// (shift, scale, offset): shift is the mean as f32 holds it, and what that lost is in the offset.
void coefficients_reference(ReferenceCall& call) {
  const auto count = static_cast<double>(call.attrs.integer("count"));
  for (std::int64_t n = 0; n < call.in(0).dim(0); ++n)
    for (std::int64_t c = 0; c < call.in(0).dim(2); ++c) {
      const double mean = call.in(0)(n, 0, c) / count;
      const double variance = call.in(0)(n, 1, c) / count - mean * mean;
      const double scale = call.in(1)(c) / std::sqrt(variance + call.attrs.real("epsilon"));
      const double shift = static_cast<float>(mean);
      call.out(0)(n, 0, c) = shift;
      call.out(0)(n, 1, c) = scale;
      call.out(0)(n, 2, c) = call.in(2)(c) + (shift - mean) * scale;
    }
}

void moments_reference(ReferenceCall& call) { fill_sums(call.in(0), call.out(0)); }

void normalize_reference(ReferenceCall& call) {
  for_each_index(call.in(0).extents, [&](const Extents& i) {
    const Moments m = moments_at(call, i);
    const double z =
        (call.in(0).at(i) - m.mean) / m.deviation * call.in(2)(i.back()) + call.in(3)(i.back());
    call.out(0).at(i) = activated(z, call.attrs);
  });
}

/// xhat and dz at element i; inputs x, sums, gamma, beta, dy.
std::pair<double, double> xhat_and_dz(const ReferenceCall& call, const Extents& i) {
  const Moments m = moments_at(call, i);
  const double xhat = (call.in(0).at(i) - m.mean) / m.deviation;
  const double z = xhat * call.in(2)(i.back()) + call.in(3)(i.back());
  return {xhat, call.in(4).at(i) * (z > 0 ? 1 : slope_for_negative(call.attrs))};
}

void grad_sums_reference(ReferenceCall& call) {
  for_each_index(call.in(0).extents, [&](const Extents& i) {
    const auto [xhat, dz] = xhat_and_dz(call, i);
    const std::int64_t n = call.out(0).dim(0) == 1 ? 0 : i[0];
    call.out(0)(n, 0, i.back()) += dz;
    call.out(0)(n, 1, i.back()) += dz * xhat;
  });
}

void grad_input_reference(ReferenceCall& call) {
  const RefTensor &x = call.in(0), &gsums = call.in(5);
  const auto count = static_cast<double>(x.elements() / x.dim(-1) / gsums.dim(0));
  for_each_index(x.extents, [&](const Extents& i) {
    const auto [xhat, dz] = xhat_and_dz(call, i);
    const std::int64_t n = gsums.dim(0) == 1 ? 0 : i[0], c = i.back();
    call.out(0).at(i) = call.in(2)(c) / moments_at(call, i).deviation *
                        (dz - gsums(n, 0, c) / count - xhat * gsums(n, 1, c) / count);
  });
}

void grad_params_reference(ReferenceCall& call) {
  const RefTensor& gsums = call.in(0);
  for (std::int64_t n = 0; n < gsums.dim(0); ++n)
    for (std::int64_t c = 0; c < gsums.dim(2); ++c) {
      call.out(0)(c) += gsums(n, 1, c);
      call.out(1)(c) += gsums(n, 0, c);
    }
}

void running_reference(ReferenceCall& call) {
  const double momentum = call.attrs.real("momentum");
  const auto count = static_cast<double>(call.attrs.integer("count"));
  for (std::int64_t c = 0; c < call.in(1).dim(0); ++c) {
    const double mean = call.in(0)(0, 0, c) / count;
    const double unbiased = (call.in(0)(0, 1, c) / count - mean * mean) * count / (count - 1);
    call.out(0)(c) = (1 - momentum) * call.in(1)(c) + momentum * mean;
    call.out(1)(c) = (1 - momentum) * call.in(2)(c) + momentum * unbiased;
  }
}

void inference_reference(ReferenceCall& call) {
  for_each_index(call.in(0).extents, [&](const Extents& i) {
    const std::int64_t c = i.back();
    const double xhat =
        (call.in(0).at(i) - call.in(1)(c)) / std::sqrt(call.in(2)(c) + call.attrs.real("epsilon"));
    call.out(0).at(i) = activated(xhat * call.in(3)(c) + call.in(4)(c), call.attrs);
  });
}

/// An x to normalise: what is common to the cases of all operators.
struct Layer {
  std::string name;
  Extents x;
  bool batch = false;
  Attrs attrs = {};
  Draw draw = Draw::uniform(-1, 2);
  DType dtype = DType::f32;

  [[nodiscard]] std::int64_t channels() const { return x.back(); }
  [[nodiscard]] graph::TensorType sums() const {
    return {DType::f64, {batch ? 1 : x[0], 2, channels()}};
  }
  [[nodiscard]] std::int64_t count() const { return x.elements() / channels() / sums().extents[0]; }
  /// x, sums, gamma, beta.
  [[nodiscard]] std::vector<InputCase> inputs() const {
    return {{.dtype = dtype, .extents = x, .draw = draw},
            {.dtype = DType::f64, .extents = sums().extents},
            {.extents = {channels()}, .draw = Draw::positive()},
            {.extents = {channels()}}};
  }
};

std::vector<Layer> layers() {
  return {
      {.name = "instance_2x3x4x5x16", .x = {2, 3, 4, 5, 16}},
      {.name = "instance_relu_1x3x5x7x33",
       .x = {1, 3, 5, 7, 33},
       .attrs = {{"activation", std::string("Relu")}}},
      {.name = "instance_leaky_2x9x11x5",
       .x = {2, 9, 11, 5},
       .attrs = {{"activation", std::string("LeakyRelu")}, {"alpha", 0.2}, {"epsilon", 1e-3}}},
      {.name = "instance_one_channel_2x67x1", .x = {2, 67, 1}},
      {.name = "instance_many_voxels_1x40x26x5", .x = {1, 40, 26, 5}},
      {.name = "instance_wide_1x3x1037",
       .x = {1, 3, 1037},
       .attrs = {{"activation", std::string("Relu")}}},
      {.name = "batch_3x2x3x5x8", .x = {3, 2, 3, 5, 8}, .batch = true},
      {.name = "batch_relu_4x7x6x3",
       .x = {4, 7, 6, 3},
       .batch = true,
       .attrs = {{"activation", std::string("Relu")}}},
      {.name = "batch_no_space_37x9", .x = {37, 9}, .batch = true},
      // Mean 100, standard deviation 1: naive f32 statistics would leave nothing of the variance.
      {.name = "mean_100_2x7x9x16", .x = {2, 7, 9, 16}, .draw = Draw::uniform(98.268, 101.732)},
      {.name = "bf16_2x5x7x16",
       .x = {2, 5, 7, 16},
       .attrs = {{"activation", std::string("Relu")}},
       .dtype = DType::bf16},
  };
}

void derive_sums(Tensors& inputs) { fill_sums(inputs[0], inputs[1]); }

void add_layer_cases(std::vector<OpCase>& cases, const Layer& layer) {
  const graph::TensorType x{layer.dtype, layer.x};
  // bf16 shifts z by half a percent: elements near 0 change sides of the activation, so its gradient has no finite difference to match.
  const bool is_smooth = layer.dtype == DType::f32;
  // f64 sums of exact terms: far closer than the f32 tolerance of the table.
  cases.push_back({.name = layer.name,
                   .op = "Moments",
                   .attrs = {{"batch", std::int64_t{layer.batch}}},
                   .inputs = {layer.inputs()[0]},
                   .outputs = {layer.sums()},
                   .reference = moments_reference,
                   .terms = layer.count(),
                   .slack = 1e-8});
  cases.push_back({.name = layer.name,
                   .op = "Normalize",
                   .attrs = layer.attrs,
                   .inputs = layer.inputs(),
                   .outputs = {x},
                   .reference = normalize_reference,
                   .differentiate = is_smooth ? std::vector{0, 2, 3} : std::vector<int>{},
                   .derive = derive_sums});

  std::vector<InputCase> backward = layer.inputs();
  backward.push_back({.dtype = layer.dtype, .extents = layer.x});
  cases.push_back({.name = layer.name,
                   .op = "NormalizeGradSums",
                   .attrs = layer.attrs,
                   .inputs = backward,
                   .outputs = {layer.sums()},
                   .reference = grad_sums_reference,
                   .terms = layer.count(),
                   .derive = derive_sums});
  backward.push_back(
      {.dtype = DType::f64, .extents = layer.sums().extents, .draw = Draw::uniform(-9, 9)});
  cases.push_back({.name = layer.name,
                   .op = "NormalizeGradInput",
                   .attrs = layer.attrs,
                   .inputs = backward,
                   .outputs = {x},
                   .reference = grad_input_reference,
                   .derive = derive_sums});
  cases.push_back({.name = layer.name,
                   .op = "NormalizeInference",
                   .attrs = layer.attrs,
                   .inputs = {layer.inputs()[0],
                              {.extents = {layer.channels()}, .draw = layer.draw},
                              {.extents = {layer.channels()}, .draw = Draw::positive()},
                              layer.inputs()[2],
                              layer.inputs()[3]},
                   .outputs = {x},
                   .reference = inference_reference});
}

/// Outputs of 4 MiB.
OpCase past_the_caches(const Layer& layer) {
  return {.name = layer.name,
          .op = "Normalize",
          .attrs = layer.attrs,
          .inputs = layer.inputs(),
          .outputs = {{layer.dtype, layer.x}},
          .reference = normalize_reference,
          .derive = derive_sums};
}

std::vector<OpCase> channel_cases() {
  return {
      {.name = "3x2x17",
       .op = "NormalizeGradParams",
       .inputs = {{.dtype = DType::f64, .extents = {3, 2, 17}}},
       .outputs = {{DType::f32, {17}}, {DType::f32, {17}}},
       .reference = grad_params_reference,
       .terms = 3},
      {.name = "1x2x5",
       .op = "NormalizeGradParams",
       .inputs = {{.dtype = DType::f64, .extents = {1, 2, 5}}},
       .outputs = {{DType::f32, {5}}, {DType::f32, {5}}},
       .reference = grad_params_reference},
      {.name = "momentum_9",
       .op = "RunningMoments",
       .attrs = {{"momentum", 0.3}, {"count", std::int64_t{12}}},
       .inputs = {{.dtype = DType::f64, .extents = {1, 2, 9}},
                  {.extents = {9}},
                  {.extents = {9}, .draw = Draw::positive()}},
       .outputs = {{DType::f32, {9}}, {DType::f32, {9}}},
       .reference = running_reference,
       .derive =
           [](Tensors& inputs) {
             for (std::int64_t c = 0; c < 9; ++c)
               inputs[0](0, 1, c) = 20 + inputs[0](0, 0, c);  // a variance above 0
           }},
      {.name = "2x2x9",
       .op = "NormalizeCoefficients",
       .attrs = {{"count", std::int64_t{12}}, {"epsilon", 0.01}},
       .inputs = {{.dtype = DType::f64, .extents = {2, 2, 9}}, {.extents = {9}}, {.extents = {9}}},
       .outputs = {{DType::f32, {2, 3, 9}}},
       .reference = coefficients_reference,
       .derive =
           [](Tensors& inputs) {
             for (std::int64_t n = 0; n < 2; ++n)
               for (std::int64_t c = 0; c < 9; ++c) inputs[0](n, 1, c) = 20 + inputs[0](n, 0, c);
           }},
  };
}

std::vector<OpCase> error_cases() {
  const InputCase x{.extents = {2, 5, 4}}, sums{.dtype = DType::f64, .extents = {2, 2, 4}},
      channels{.extents = {4}};
  return {
      {.name = "no_channels",
       .op = "Moments",
       .inputs = {{.extents = {4}}},
       .error = "x is f32[4]; it must be [n, ..., c]"},
      {.name = "other_channels",
       .op = "Normalize",
       .inputs = {x, sums, {.extents = {5}}, channels},
       .error = "gamma is f32[5]; one number a channel is f32[4]"},
      {.name = "other_sums",
       .op = "Normalize",
       .inputs = {x, {.dtype = DType::f64, .extents = {3, 2, 4}}, channels, channels},
       .error = "statistics are f64[3,2,4]; those of x f32[2,5,4] are f64[2,2,4] or f64[1,2,4]"},
      {.name = "other_activation",
       .op = "Normalize",
       .attrs = {{"activation", std::string("Gelu")}},
       .inputs = {x, sums, channels, channels},
       .error = "activation `Gelu` cannot be fused"},
      {.name = "one_element",
       .op = "RunningMoments",
       .attrs = {{"count", std::int64_t{1}}},
       .inputs = {{.dtype = DType::f64, .extents = {1, 2, 4}}, channels, channels},
       .error = "count=1: a variance needs at least 2 elements"},
  };
}

}  // namespace

std::vector<OpCase> norm_cases() {
  std::vector<OpCase> cases = channel_cases();
  for (const auto& layer : layers()) add_layer_cases(cases, layer);
  cases.push_back(
      past_the_caches({.name = "past_the_caches_1x16x64x43x24", .x = {1, 16, 64, 43, 24}}));
  cases.push_back(past_the_caches({.name = "past_the_caches_bf16_1x64x64x32x16",
                                   .x = {1, 64, 64, 32, 16},
                                   .attrs = {{"activation", std::string("Relu")}},
                                   .dtype = DType::bf16}));
  for (auto& op_case : error_cases()) cases.push_back(std::move(op_case));
  return cases;
}

}  // namespace hpdlf::test
