// What the system knows of an operator, declared once: everything but the kernel.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ir.hpp"
#include "graph/tiling_rule.hpp"

namespace hpdlf::graph {

struct OpSpec;

/// An operator with its attributes and operand types: what specs are asked about. Optional inputs come last and may be missing.
struct OpCall {
  const OpSpec* spec = nullptr;
  const Attrs* attrs = nullptr;
  std::vector<TensorType> inputs, outputs;

  [[nodiscard]] const TensorType& input(int i) const { return inputs[static_cast<std::size_t>(i)]; }
  [[nodiscard]] const TensorType& output(int i) const {
    return outputs[static_cast<std::size_t>(i)];
  }
};

/// Work of a call in machine-independent features; times come from partition::CostModel.
struct Cost {
  double flops = 0, bytes_read = 0, bytes_written = 0;
  DType arithmetic = DType::f32;  ///< of the flops: bf16 where they are products of bf16 numbers
};

/// Emits the nodes that compute gradients of one node. Only the inputs for which wants_grad() holds need one.
class GradContext {
 public:
  virtual ~GradContext() = default;
  [[nodiscard]] virtual const Node& node() const = 0;
  [[nodiscard]] virtual const TensorType& type(ValueId value) const = 0;
  /// Gradient of the loss by output i, of the output's type, or kNone if nothing flows there.
  [[nodiscard]] virtual ValueId grad_output(int i) = 0;
  /// The same as it was computed: that of a bf16 output may be f32.
  [[nodiscard]] virtual ValueId wide_grad_output(int i) const = 0;
  [[nodiscard]] virtual bool wants_grad(int input) const = 0;
  /// Adds a node of phase backward; returns its outputs. Attributes not given take the operator's defaults.
  virtual std::vector<ValueId> emit_all(std::string_view op, std::vector<ValueId> inputs,
                                        const Attrs& attrs) = 0;
  /// @param grad of the input's type, or f32 for a bf16 input: sums over many terms are not rounded
  virtual void set_grad_input(int input, ValueId grad) = 0;

  ValueId emit(std::string_view op, std::vector<ValueId> inputs, const Attrs& attrs = {}) {
    return emit_all(op, std::move(inputs), attrs).front();
  }
  [[nodiscard]] ValueId input(int i) const { return node().inputs[static_cast<std::size_t>(i)]; }
  [[nodiscard]] ValueId output(int i) const { return node().outputs[static_cast<std::size_t>(i)]; }
  [[nodiscard]] const Attrs& attrs() const { return node().attrs; }
};

struct OperandSpec {
  std::string name, doc;
  enum class Arity : std::uint8_t { one, optional, variadic } arity = Arity::one;
};

struct AttrSpec {
  std::string name;
  AttrValue default_value;  ///< also fixes the type
  std::string doc;
  bool required = false;  ///< the default is only an example of the type
};

struct OnnxName {
  std::string name;  ///< empty: no ONNX counterpart
  int since = 1;     ///< first opset whose definition this follows
};

struct OpSpec {
  std::string name;
  OnnxName onnx = {};
  std::string doc;
  std::vector<OperandSpec> inputs = {}, outputs = {};
  std::vector<AttrSpec> attrs = {};
  std::string rule = {};  ///< see tiling_rule.hpp ...
  std::string (*rule_for)(const OpCall&) =
      nullptr;                       ///< ... or made for the call (rank, groups, axis)
  void (*infer)(OpCall&) = nullptr;  ///< fills `outputs`; throws Error with values
  Cost (*cost)(const OpCall&) = nullptr;
  void (*gradient)(GradContext&) = nullptr;  ///< nullptr: not differentiable
  /// Inputs that no gradient flows to although they are floats (e.g. labels, statistics); others are differentiable.
  std::vector<int> no_gradient_inputs = {};
  /// Outputs kept for the gradient alone: nothing that a gradient comes from may read them.
  std::vector<int> no_gradient_outputs = {};
  /// The kernel can add to output 0 instead of writing it.
  bool accumulates = false;
  /// Inputs that training in bf16 gives as bf16, all of them together, upon which output 0 is bf16 (passes/use_bf16.cc); the last input
  /// stands for all its values if it is variadic. Empty: the operator stays in f32.
  std::vector<int> bf16_inputs = {};
  /// Worth converting inputs for: a product. Others run in bf16 where one of their bf16_inputs is bf16 anyway.
  bool prefers_bf16 = false;
  /// (output, input) pairs that may share storage when the input dies here: elementwise, same type.
  std::vector<std::pair<int, int>> in_place = {};
};

/// Name -> OpSpec, filled from base/op_families.def on first use; immutable after.
class OpRegistry {
 public:
  /// @throws InternalError if the name is taken or a required field is missing.
  void add(OpSpec spec);
  /// @throws Error that names the nearest operator.
  [[nodiscard]] const OpSpec& at(std::string_view name) const;
  [[nodiscard]] const OpSpec* find(std::string_view name) const;
  /// In order of family, then registration.
  [[nodiscard]] std::span<const OpSpec* const> all() const { return order_; }

 private:
  std::map<std::string, OpSpec, std::less<>> specs_;
  std::vector<const OpSpec*> order_;
};
[[nodiscard]] const OpRegistry& op_registry();

/// Fills in defaults. @throws Error for an unknown name (nearest named), a wrong type or a missing required attribute.
[[nodiscard]] Attrs complete_attrs(const OpSpec& spec, const Attrs& given);
/// The call of a node of `graph`.
[[nodiscard]] OpCall call_of(const Graph& graph, const Node& node);

// Building blocks for specs.
void same_as_first_input(OpCall& call);
/// `flops_per_element` of output 0; every input read, every output written once.
[[nodiscard]] Cost streaming_cost(const OpCall& call, double flops_per_element);
/// The same of an operator that multiplies: `terms` products of numbers of input 0's type for each element of output 0.
[[nodiscard]] Cost product_cost(const OpCall& call, double terms);
/// What the call's spec says; where it says nothing, streaming with an operation an element.
[[nodiscard]] Cost cost_of(const OpCall& call);

/// How long calls take, compared with each other, in any unit: what passes choose algorithms by.
using Effort = std::function<double(const OpCall&)>;
/// In f32 operations, on a core that makes 10 while it moves a byte, or 20 in bf16.
[[nodiscard]] double nominal_effort(const OpCall& call);

/// The usual letters of a tensor of this rank: "n d h w c", "n h w c", "n t c", "n c", "c".
[[nodiscard]] std::string usual_letters(int rank);

}  // namespace hpdlf::graph
