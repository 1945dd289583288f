// The graph IR: a static-shape SSA graph of operator calls in execution order.
//
// Activations are channels-last ([N, D, H, W, C], [N, H, W, C], [N, T, C]); convolution weights are [K, R, S, T, C/groups].
// Nodes are kept in an order in which running them one after the other is right. State (parameters, optimizer moments, running
// statistics) is read as a Value of role parameter/state; a new content is an ordinary value bound to it by `Graph::update`.
// Knows nothing of tiles, machines or kernels.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/attrs.hpp"
#include "base/dtype.hpp"
#include "base/shape.hpp"

namespace hpdlf::graph {

struct OpSpec;
class OpRegistry;

using ValueId = std::int32_t;
using NodeId = std::int32_t;
inline constexpr std::int32_t kNone = -1;

struct TensorType {
  DType dtype = DType::f32;
  Extents extents;
  [[nodiscard]] std::int64_t elements() const { return extents.elements(); }
  [[nodiscard]] std::int64_t bytes() const {
    return elements() * static_cast<std::int64_t>(size_of(dtype));
  }
  friend bool operator==(const TensorType&, const TensorType&) = default;
};
using hpdlf::to_string;  // AttrValue is a std type: argument lookup alone would not find it
/// "f32[1,48,112,96,16]"
[[nodiscard]] std::string to_string(const TensorType& type);

/// How a parameter or state starts. Numbers are Philox draws keyed by (seed, name of the value, element index).
struct Initializer {
  enum class Kind : std::uint8_t { none, constant, uniform, normal } kind = Kind::none;
  double a = 0;  ///< constant: the value; uniform: low; normal: mean
  double b = 0;  ///< uniform: high; normal: standard deviation
};

enum class Role : std::uint8_t {
  input,      ///< given anew every step (data, labels, learning rate)
  constant,   ///< fixed, content in Value::content
  parameter,  ///< trained; kept between steps
  state,      ///< kept between steps, not trained (moments, running statistics)
  computed,   ///< output of a node
};

struct Value {
  std::string name;  ///< unique in the graph
  TensorType type;
  Role role = Role::computed;
  NodeId producer = kNone;
  Initializer init = {};
  std::vector<std::byte> content = {};  ///< role constant: dense bytes
};

/// What part of a training step a node (or task) belongs to; traces and reports are coloured by it.
enum class Phase : std::uint8_t { load, forward, loss, backward, reduce, update, move };
[[nodiscard]] std::string_view name_of(Phase phase);

struct Node {
  const OpSpec* spec = nullptr;
  std::string name;   ///< unique; "enc0.conv1", gradients "enc0.conv1.grad_weight"
  std::string layer;  ///< the layer it belongs to, for reports; gradients and updates inherit it
  Attrs attrs;        ///< complete: defaults filled in
  std::vector<ValueId> inputs, outputs;
  Phase phase = Phase::forward;
  /// If set, output 0 = operator result + this value (same type); the kernel adds in place (KernelArgs::accumulate).
  ValueId accumulate = kNone;
};

class Graph {
 public:
  explicit Graph(std::string name = "graph");

  ValueId add_input(const std::string& name, TensorType type);
  ValueId add_constant(const std::string& name, TensorType type, std::vector<std::byte> content);
  ValueId add_parameter(const std::string& name, TensorType type, Initializer init);
  ValueId add_state(const std::string& name, TensorType type, Initializer init);

  /// Appends a call of operator `op`; infers the output types. @throws Error naming node, operator and operand types if the call breaks the operator's rules.
  NodeId add_node(std::string_view op, std::vector<ValueId> inputs, const Attrs& attrs,
                  const std::string& name);
  /// Binds the content that `state` has after the step.
  void update(ValueId state, ValueId new_content);
  /// Makes `value` readable by the host after each step, under `name`.
  void fetch(const std::string& name, ValueId value);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<Value>& values() const { return values_; }
  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  [[nodiscard]] const Value& value(ValueId id) const {
    return values_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] const Node& node(NodeId id) const { return nodes_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] Value& value(ValueId id) { return values_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] Node& node(NodeId id) { return nodes_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const std::vector<std::pair<ValueId, ValueId>>& updates() const { return updates_; }
  [[nodiscard]] const std::vector<std::pair<std::string, ValueId>>& fetches() const {
    return fetches_;
  }
  /// @throws Error naming the nearest existing name.
  [[nodiscard]] ValueId find(std::string_view name) const;
  /// Output `index` of node `id`.
  [[nodiscard]] ValueId output(NodeId id, int index = 0) const {
    return node(id).outputs[static_cast<std::size_t>(index)];
  }
  /// Elements over all parameters.
  [[nodiscard]] std::int64_t parameter_count() const;
  /// Stable hash of structure, types and attributes (not of contents).
  [[nodiscard]] std::uint64_t fingerprint() const;
  /// Used by passes: replaces the node list (same values); producers are recomputed. Nodes' outputs must stay defined before use.
  void replace_nodes(std::vector<Node> nodes);
  ValueId add_value(Value value);

 private:
  std::string unique_name(const std::string& name) const;
  std::string name_;
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<std::pair<ValueId, ValueId>> updates_;
  std::vector<std::pair<std::string, ValueId>> fetches_;
};

/// Checks the invariants (ids in range, defined before use, types as inferred, updates of equal type). @throws InternalError.
void verify(const Graph& graph);
/// Text form, one node a line; golden tests compare it.
[[nodiscard]] std::string print(const Graph& graph);

}  // namespace hpdlf::graph
