// Elementwise arithmetic with NumPy's broadcasting, and n-ary sums. Kernels: codelets/cpu/binary.cc.
//   Add, Sub, Mul, Div   trailing dimensions are aligned; an extent of 1, or a dimension that one operand lacks, is repeated
//   Sum                  x0 + x1 + ... in this order, operands alike (partial sums of tiles are added by it)
// Gradients of a repeated operand are summed over the repetitions by ReduceSum.
// Source: ONNX Add-14, Sub-14, Mul-14, Div-14, Sum-13.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {
namespace {

/// Extent of dimension `i` of an output of this rank, as seen from an operand; 1 if the operand lacks it.
std::int64_t aligned_extent(const Extents& operand, int rank, int i) {
  const int own = i - (rank - operand.rank());
  return own < 0 ? 1 : operand[own];
}

void infer_binary(OpCall& call) {
  const TensorType &a = call.input(0), &b = call.input(1);
  HPDLF_CHECK(a.dtype == b.dtype && (a.dtype == DType::f32 || a.dtype == DType::bf16),
              "operands are {} and {}; {} takes two f32 or two bf16", to_string(a), to_string(b),
              call.spec->name);
  TensorType y{a.dtype, {}};
  const int rank = std::max(a.extents.rank(), b.extents.rank());
  for (int i = 0; i < rank; ++i) {
    const std::int64_t p = aligned_extent(a.extents, rank, i),
                       q = aligned_extent(b.extents, rank, i);
    HPDLF_CHECK(
        p == q || p == 1 || q == 1,
        "operands {} and {} do not broadcast: dimension {} of the result would be {} and {}",
        to_string(a), to_string(b), i, p, q);
    y.extents.push_back(p == 1 ? q : p);
  }
  call.outputs = {y};
}

std::string binary_rule(const OpCall& call) {
  const Extents& y = call.output(0).extents;
  const auto operand_dims = [&](const Extents& operand) {
    return rule_dims(y.rank(), [&](int i, const std::string& letter) -> std::string {
      if (i < y.rank() - operand.rank()) return "";
      return aligned_extent(operand, y.rank(), i) == y[i] ? letter : "1";
    });
  };
  return operand_dims(call.input(0).extents) + ", " + operand_dims(call.input(1).extents) + " -> " +
         operand_dims(y);
}

void infer_sum(OpCall& call) {
  const TensorType& x = call.input(0);
  HPDLF_CHECK(x.dtype == DType::f32 || x.dtype == DType::f64 || x.dtype == DType::bf16,
              "x is {}; Sum takes f32, f64 and bf16", to_string(x));
  for (const auto& other : call.inputs)
    HPDLF_CHECK(other == x, "operands are {} and {}; those of a Sum must be alike", to_string(x),
                to_string(other));
  same_as_first_input(call);
}

std::string sum_rule(const OpCall& call) {
  std::string text;
  for (std::size_t i = 0; i < call.inputs.size(); ++i) text += i > 0 ? ", ..." : "...";
  return text + " -> ...";
}

Cost binary_cost(const OpCall& call) { return streaming_cost(call, 1); }
Cost sum_cost(const OpCall& call) {
  return streaming_cost(call, static_cast<double>(call.inputs.size()) - 1);
}

/// `grad`, of the output's extents, summed to those of input `i`.
ValueId reduced_to_input(GradContext& g, int i, ValueId grad) {
  const Extents y = g.type(grad).extents;
  const Extents x = g.type(g.input(i)).extents;
  std::vector<std::int64_t> missing, repeated;
  for (int d = 0; d < y.rank(); ++d)
    if (d < y.rank() - x.rank())
      missing.push_back(d);
    else if (aligned_extent(x, y.rank(), d) != y[d])
      repeated.push_back(d - (y.rank() - x.rank()));
  if (!missing.empty())
    grad = g.emit("ReduceSum", {grad}, {{"axes", missing}, {"keepdims", std::int64_t{0}}});
  if (!repeated.empty())
    grad = g.emit("ReduceSum", {grad}, {{"axes", repeated}, {"keepdims", std::int64_t{1}}});
  return grad;
}

void add_gradient(GradContext& g) {
  for (int i = 0; i < 2; ++i)
    if (g.wants_grad(i)) g.set_grad_input(i, reduced_to_input(g, i, g.grad_output(0)));
}

void sub_gradient(GradContext& g) {
  const ValueId dy = g.grad_output(0);
  if (g.wants_grad(0)) g.set_grad_input(0, reduced_to_input(g, 0, dy));
  if (g.wants_grad(1)) g.set_grad_input(1, g.emit("Neg", {reduced_to_input(g, 1, dy)}));
}

void mul_gradient(GradContext& g) {
  for (int i = 0; i < 2; ++i)
    if (g.wants_grad(i))
      g.set_grad_input(i,
                       reduced_to_input(g, i, g.emit("Mul", {g.grad_output(0), g.input(1 - i)})));
}

/// da = dy / b, db = -y da
void div_gradient(GradContext& g) {
  const ValueId da = g.emit("Div", {g.grad_output(0), g.input(1)});
  if (g.wants_grad(0)) g.set_grad_input(0, reduced_to_input(g, 0, da));
  if (g.wants_grad(1))
    g.set_grad_input(1, g.emit("Neg", {reduced_to_input(g, 1, g.emit("Mul", {da, g.output(0)}))}));
}

void sum_gradient(GradContext& g) {
  for (std::size_t i = 0; i < g.node().inputs.size(); ++i)
    if (g.wants_grad(static_cast<int>(i))) g.set_grad_input(static_cast<int>(i), g.grad_output(0));
}

}  // namespace

void register_binary_ops(OpRegistry& registry) {
  const auto add = [&](const std::string& name, const std::string& doc,
                       void (*gradient)(GradContext&)) {
    registry.add(
        {.name = name,
         .onnx = {name, 14},
         .doc = doc,
         .inputs = {{"a", "f32 or bf16"}, {"b", "dtype of a, extents that broadcast with it"}},
         .outputs = {{"y", "the broadcast extents"}},
         .rule_for = binary_rule,
         .infer = infer_binary,
         .cost = binary_cost,
         .gradient = gradient,
         .bf16_inputs = {0, 1},
         .in_place = {{0, 0}, {0, 1}}});
  };
  add("Add", "a + b.", add_gradient);
  add("Sub", "a - b.", sub_gradient);
  add("Mul", "a * b.", mul_gradient);
  add("Div", "a / b.", div_gradient);
  registry.add({.name = "Sum",
                .onnx = {"Sum", 13},
                .doc = "x0 + x1 + ..., added in this order.",
                .inputs = {{"x", "f32, f64 or bf16, all alike", OperandSpec::Arity::variadic}},
                .outputs = {{"y", "like x"}},
                .rule_for = sum_rule,
                .infer = infer_sum,
                .cost = sum_cost,
                .gradient = sum_gradient,
                .bf16_inputs = {0},
                .in_place = {{0, 0}}});
}

}  // namespace hpdlf::graph
