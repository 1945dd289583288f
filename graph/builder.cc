#include "graph/builder.hpp"

#include <cmath>
#include <numeric>

namespace hpdlf::graph {
namespace {

std::vector<std::int64_t> or_filled(const std::vector<std::int64_t>& values, std::size_t size,
                                    std::int64_t fallback) {
  return values.empty() ? std::vector<std::int64_t>(size, fallback) : values;
}

Attrs window_attrs(const Builder::ConvOptions& options) {
  const std::size_t spatial = options.kernel.size();
  std::vector<std::int64_t> pads = or_filled(options.pads, spatial, 0);
  pads.insert(pads.end(), pads.begin(), pads.end());  // symmetric: the ends are as the begins
  return {{"kernel_shape", options.kernel},
          {"strides", or_filled(options.strides, spatial, 1)},
          {"pads", pads},
          {"dilations", or_filled(options.dilations, spatial, 1)},
          {"group", options.groups}};
}

std::int64_t product(const std::vector<std::int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{1}, std::multiplies<>());
}

Initializer uniform_by_fan_in(std::int64_t fan_in) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return {.kind = Initializer::Kind::uniform, .a = -bound, .b = bound};
}

Initializer constant(double value) { return {.kind = Initializer::Kind::constant, .a = value}; }

/// [out, kernel..., in]
Extents weight_extents(std::int64_t out, const std::vector<std::int64_t>& kernel, std::int64_t in) {
  Extents extents{out};
  for (const auto k : kernel) extents.push_back(k);
  extents.push_back(in);
  return extents;
}

void check_conv(const std::string& name, const TensorType& x, const Builder::ConvOptions& options) {
  const int rank = static_cast<int>(options.kernel.size()) + 2;
  HPDLF_CHECK(x.extents.rank() == rank,
              "convolution \"{}\" has a kernel of {} dimensions and reads {}; it needs rank {}",
              name, options.kernel.size(), to_string(x), rank);
  HPDLF_CHECK(options.groups >= 1 && x.extents.back() % options.groups == 0 &&
                  options.out_channels > 0 && options.out_channels % options.groups == 0,
              "convolution \"{}\": {} groups do not divide {} input and {} output channels", name,
              options.groups, x.extents.back(), options.out_channels);
}

}  // namespace

std::vector<ValueId> Builder::split(const std::string& name, ValueId x, std::int64_t axis,
                                    const std::vector<std::int64_t>& extents) {
  return graph_.node(node(name, "Split", {x}, {{"axis", axis}, {"split", extents}})).outputs;
}

ValueId Builder::op(const std::string& name, std::string_view op, std::vector<ValueId> inputs,
                    const Attrs& attrs) {
  return graph_.output(node(name, op, std::move(inputs), attrs));
}

NodeId Builder::node(const std::string& name, std::string_view op, std::vector<ValueId> inputs,
                     const Attrs& attrs) {
  const NodeId id = graph_.add_node(op, std::move(inputs), attrs, name);
  graph_.node(id).layer = layer_.empty() ? name : layer_;
  return id;
}

ValueId Builder::conv(const std::string& name, ValueId x, const ConvOptions& options) {
  check_conv(name, type(x), options);
  const DType dtype = type(x).dtype;
  const std::int64_t in = type(x).extents.back() / options.groups;
  const Initializer init = uniform_by_fan_in(in * product(options.kernel));
  std::vector<ValueId> inputs = {
      x, graph_.add_parameter(name + ".weight",
                              {dtype, weight_extents(options.out_channels, options.kernel, in)},
                              init)};
  if (options.bias)
    inputs.push_back(graph_.add_parameter(name + ".bias", {dtype, {options.out_channels}}, init));
  return op(name, "Conv", std::move(inputs), window_attrs(options));
}

ValueId Builder::conv_transpose(const std::string& name, ValueId x, const ConvOptions& options) {
  check_conv(name, type(x), options);
  const DType dtype = type(x).dtype;
  const std::int64_t out = options.out_channels / options.groups;
  const Initializer init = uniform_by_fan_in(out * product(options.kernel));
  std::vector<ValueId> inputs = {
      x, graph_.add_parameter(name + ".weight",
                              {dtype, weight_extents(type(x).extents.back(), options.kernel, out)},
                              init)};
  if (options.bias)
    inputs.push_back(graph_.add_parameter(name + ".bias", {dtype, {options.out_channels}}, init));
  return op(name, "ConvTranspose", std::move(inputs), window_attrs(options));
}

Builder::Affine Builder::affine(const std::string& name, const TensorType& x) {
  const TensorType per_channel{DType::f32, {x.extents.back()}};  // f32 whatever the data is
  return {graph_.add_parameter(name + ".weight", per_channel, constant(1)),
          graph_.add_parameter(name + ".bias", per_channel, constant(0))};
}

ValueId Builder::instance_norm(const std::string& name, ValueId x, double epsilon,
                               const std::string& activation) {
  const Affine a = affine(name, type(x));
  const ValueId sums = op(name + ".moments", "Moments", {x}, {{"batch", std::int64_t{0}}});
  return op(name, "Normalize", {x, sums, a.scale, a.shift},
            {{"epsilon", epsilon}, {"activation", activation}});
}

ValueId Builder::batch_norm(const std::string& name, ValueId x, bool training, double momentum,
                            double epsilon, const std::string& activation) {
  const Affine a = affine(name, type(x));
  const std::int64_t channels = type(x).extents.back();
  const TensorType per_channel{DType::f32, {channels}};
  const ValueId mean = graph_.add_state(name + ".running_mean", per_channel, constant(0));
  const ValueId var = graph_.add_state(name + ".running_var", per_channel, constant(1));
  const Attrs attrs = {{"epsilon", epsilon}, {"activation", activation}};
  if (!training) return op(name, "NormalizeInference", {x, mean, var, a.scale, a.shift}, attrs);

  const ValueId sums = op(name + ".moments", "Moments", {x}, {{"batch", std::int64_t{1}}});
  const NodeId running = node(name + ".running", "RunningMoments", {sums, mean, var},
                              {{"momentum", momentum}, {"count", type(x).elements() / channels}});
  graph_.node(running).phase = Phase::update;
  graph_.update(mean, graph_.output(running, 0));
  graph_.update(var, graph_.output(running, 1));
  return op(name, "Normalize", {x, sums, a.scale, a.shift}, attrs);
}

ValueId Builder::linear(const std::string& name, ValueId x, std::int64_t out_features, bool bias) {
  const TensorType in = type(x);
  HPDLF_CHECK(in.extents.rank() >= 2, "linear layer \"{}\" reads {}; it needs rank 2 or more", name,
              to_string(in));
  const std::int64_t features = in.extents.back();
  const Initializer init = uniform_by_fan_in(features);
  std::vector<ValueId> inputs = {
      x, graph_.add_parameter(name + ".weight", {in.dtype, {out_features, features}}, init)};
  if (bias)
    inputs.push_back(graph_.add_parameter(name + ".bias", {in.dtype, {out_features}}, init));
  if (in.extents.rank() > 2) return op(name, "Linear", std::move(inputs));
  const Attrs attrs = {{"trans_b", std::int64_t{1}}};
  return op(name, bias ? "Gemm" : "MatMul", std::move(inputs), attrs);
}

ValueId Builder::linear(const std::string& name, ValueId x, const LinearOptions& options) {
  const TensorType in = type(x);
  const int leading = in.extents.rank() - options.contracted;
  HPDLF_CHECK(options.contracted >= 1 && leading >= 1,
              "linear layer \"{}\" sums over {} dimensions of {}; at least one must be left", name,
              options.contracted, to_string(in));
  Extents weight = options.out_features;
  std::int64_t fan_in = 1;
  for (int i = leading; i < in.extents.rank(); ++i) {
    weight.push_back(in.extents[i]);
    fan_in *= in.extents[i];
  }
  const Initializer uniform = uniform_by_fan_in(fan_in);
  const Initializer init =
      options.weight.kind == Initializer::Kind::none ? uniform : options.weight;
  const ValueId w = graph_.add_parameter(name + ".weight", {in.dtype, weight}, init);
  const ValueId b = graph_.add_parameter(name + ".bias", {in.dtype, options.out_features}, uniform);
  return op(name, "Linear", {x, w, b}, {{"contracted", std::int64_t{options.contracted}}});
}

ValueId Builder::layer_norm(const std::string& name, ValueId x, double epsilon) {
  const Affine a = affine(name, type(x));
  return op(name, "LayerNormalization", {x, a.scale, a.shift}, {{"epsilon", epsilon}});
}

ValueId Builder::relu(const std::string& name, ValueId x) { return op(name, "Relu", {x}); }

ValueId Builder::max_pool(const std::string& name, ValueId x,
                          const std::vector<std::int64_t>& kernel) {
  return op(name, "MaxPool", {x}, {{"kernel_shape", kernel}, {"strides", kernel}});
}

ValueId Builder::concat(const std::string& name, const std::vector<ValueId>& xs,
                        std::int64_t axis) {
  return op(name, "Concat", xs, {{"axis", axis}});
}

}  // namespace hpdlf::graph
