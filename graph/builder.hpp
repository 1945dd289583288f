// Typed helpers to make graphs in C++: layers of the bundled apps and of tests. Initial values follow PyTorch's defaults.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "graph/ir.hpp"

namespace hpdlf::graph {

class Builder {
 public:
  explicit Builder(Graph& graph) : graph_(graph) {}
  [[nodiscard]] Graph& graph() { return graph_; }
  [[nodiscard]] const TensorType& type(ValueId v) const { return graph_.value(v).type; }

  struct ConvOptions {
    std::int64_t out_channels = 0;
    std::vector<std::int64_t> kernel, strides, pads,
        dilations;  ///< one a spatial dimension; pads symmetric; empty: 1 / 0 / 1
    std::int64_t groups = 1;
    bool bias = true;
  };
  /// x: [N, spatial..., C] -> [N, spatial'..., K]. Weight NAME.weight [K, kernel..., C/groups], NAME.bias [K],
  /// both uniform(+-1/sqrt(fan_in)) as torch.nn.ConvNd.
  ValueId conv(const std::string& name, ValueId x, const ConvOptions& options);
  /// Weight NAME.weight [C, kernel..., K] (C = channels of x), NAME.bias [K]; torch.nn.ConvTransposeNd's init: uniform(+-1/sqrt(K * kernel volume)).
  ValueId conv_transpose(const std::string& name, ValueId x, const ConvOptions& options);
  /// Per sample and channel; NAME.weight = 1, NAME.bias = 0. `activation`: "" | "Relu" | "LeakyRelu" fused into Normalize.
  ValueId instance_norm(const std::string& name, ValueId x, double epsilon = 1e-5,
                        const std::string& activation = "");
  /// Per channel over the batch. training: batch statistics, running ones updated with `momentum`; else running ones used.
  ValueId batch_norm(const std::string& name, ValueId x, bool training, double momentum = 0.1,
                     double epsilon = 1e-5, const std::string& activation = "");
  /// x: [..., C] -> [..., K]; weight [K, C] as torch.nn.Linear.
  ValueId linear(const std::string& name, ValueId x, std::int64_t out_features, bool bias = true);
  struct LinearOptions {
    Extents out_features;  ///< one or more dimensions
    int contracted = 1;    ///< how many of the last dimensions of x are summed over
    Initializer weight;    ///< kind none: uniform(+-1/sqrt(fan_in)), as NAME.bias
  };
  /// x: [L..., I...] -> [L..., O...]; NAME.weight [O..., I...], NAME.bias [O...].
  ValueId linear(const std::string& name, ValueId x, const LinearOptions& options);
  /// Over the last dimension; NAME.weight = 1, NAME.bias = 0.
  ValueId layer_norm(const std::string& name, ValueId x, double epsilon = 1e-5);
  ValueId relu(const std::string& name, ValueId x);
  /// Maximum of windows of `kernel` that touch but do not overlap, as torch.nn.functional.max_poolNd(x, kernel).
  ValueId max_pool(const std::string& name, ValueId x, const std::vector<std::int64_t>& kernel);
  ValueId concat(const std::string& name, const std::vector<ValueId>& xs, std::int64_t axis = -1);
  /// Parts of x of these extents along an axis; they add up to that of x.
  std::vector<ValueId> split(const std::string& name, ValueId x, std::int64_t axis,
                             const std::vector<std::int64_t>& extents);
  /// Any operator; its first output.
  ValueId op(const std::string& name, std::string_view op, std::vector<ValueId> inputs,
             const Attrs& attrs = {});

  /// Nodes made while the scope lives carry this layer name; outside of one a node is its own layer.
  class LayerScope {
   public:
    LayerScope(Builder& builder, std::string layer) : builder_(builder), saved_(builder.layer_) {
      builder.layer_ = std::move(layer);
    }
    ~LayerScope() { builder_.layer_ = saved_; }
    LayerScope(const LayerScope&) = delete;
    LayerScope& operator=(const LayerScope&) = delete;

   private:
    Builder& builder_;
    std::string saved_;
  };

 private:
  struct Affine {
    ValueId scale, shift;
  };
  /// NAME.weight = 1 and NAME.bias = 0, one a channel of x.
  Affine affine(const std::string& name, const TensorType& x);
  NodeId node(const std::string& name, std::string_view op, std::vector<ValueId> inputs,
              const Attrs& attrs);

  Graph& graph_;
  std::string layer_;
};

}  // namespace hpdlf::graph
