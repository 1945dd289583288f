// Fully connected layers on grouped dimensions: what reads or writes the heads of an attention needs no reshape or transposition.
//   Linear            y[L.., O..] = sum_I x[L.., I..] w[O.., I..] + b[O..]      torch.nn.Linear's layout of w
//   LinearGradInput   dx[L.., I..] = sum_O dy[L.., O..] w[O.., I..]
//   LinearGradWeight  dw[O.., I..] = sum_L dy[L.., O..] x[L.., I..]             partial sums over cut samples and tokens
// L are the leading dimensions of x, I its last `contracted` ones, O those of w before I. Of each group I and O the first dimension may be
// cut, so that a tile's group is one dense run. Kernels: codelets/cpu/linear.cc.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"
#include "graph/ops/grad_sum.hpp"

namespace hpdlf::graph {
namespace {

/// How many dimensions of each group a call has.
struct Groups {
  int leading, out, in;
};

Extents part_of(const Extents& extents, int first, int count) {
  Extents part;
  for (int i = first; i < first + count; ++i) part.push_back(extents[i]);
  return part;
}
Extents joined(const Extents& a, const Extents& b) {
  Extents all = a;
  for (const auto e : b) all.push_back(e);
  return all;
}

int contracted(const OpCall& call) {
  const std::int64_t count = call.attrs->integer("contracted");
  HPDLF_CHECK(count >= 1 && count <= 3, "contracted={}; 1 to 3 dimensions are summed over", count);
  return static_cast<int>(count);
}

void check_rank(const OpCall& call, const Groups& g) {
  HPDLF_CHECK(g.leading >= 1 && g.leading <= 4 && g.out >= 1 && g.out <= 3,
              "{} of {} and {} with contracted={}: 1 to 4 leading and 1 to 3 output dimensions are "
              "left, not {} and {}",
              call.spec->name, to_string(call.input(0)), to_string(call.input(1)), g.in, g.leading,
              g.out);
}

/// Both factors f32 or both bf16, a bias always f32.
void check_types(const OpCall& call) {
  const DType dtype = call.input(0).dtype;
  for (std::size_t i = 0; i < call.inputs.size(); ++i)
    HPDLF_CHECK(call.inputs[i].dtype == (i < 2 ? dtype : DType::f32) &&
                    (dtype == DType::f32 || dtype == DType::bf16) && call.inputs[i].elements() > 0,
                "{} is {}; {} takes f32 or bf16 factors, alike and not empty, and an f32 bias",
                call.spec->inputs[i].name, to_string(call.inputs[i]), call.spec->name);
}

void check_equal(const OpCall& call, int operand, const Extents& part, const Extents& expected) {
  HPDLF_CHECK(part == expected, "{} is {}: its {} must be {}; {} is {}",
              call.spec->inputs[static_cast<std::size_t>(operand)].name,
              to_string(call.input(operand)), to_string(part), to_string(expected),
              call.spec->inputs[0].name, to_string(call.input(0)));
}

Groups linear_groups(const OpCall& call) {  // x, w
  const int in = contracted(call);
  return {call.input(0).extents.rank() - in, call.input(1).extents.rank() - in, in};
}
Groups grad_input_groups(const OpCall& call) {  // dy, w
  const int in = contracted(call), out = call.input(1).extents.rank() - in;
  return {call.input(0).extents.rank() - out, out, in};
}
Groups grad_weight_groups(const OpCall& call) {  // dy, x
  const int in = contracted(call), leading = call.input(1).extents.rank() - in;
  return {leading, call.input(0).extents.rank() - leading, in};
}

void infer_linear(OpCall& call) {
  check_types(call);
  const Groups g = linear_groups(call);
  check_rank(call, g);
  const Extents &x = call.input(0).extents, &w = call.input(1).extents;
  const Extents out = part_of(w, 0, g.out);
  check_equal(call, 1, part_of(w, g.out, g.in), part_of(x, g.leading, g.in));
  if (call.inputs.size() > 2) check_equal(call, 2, call.input(2).extents, out);
  call.outputs = {{call.input(0).dtype, joined(part_of(x, 0, g.leading), out)}};
}

void infer_grad_input(OpCall& call) {
  check_types(call);
  const Groups g = grad_input_groups(call);
  check_rank(call, g);
  const Extents &dy = call.input(0).extents, &w = call.input(1).extents;
  check_equal(call, 1, part_of(w, 0, g.out), part_of(dy, g.leading, g.out));
  call.outputs = {
      {call.input(0).dtype, joined(part_of(dy, 0, g.leading), part_of(w, g.out, g.in))}};
}

void infer_grad_weight(OpCall& call) {
  check_types(call);
  const Groups g = grad_weight_groups(call);
  check_rank(call, g);
  const Extents &dy = call.input(0).extents, &x = call.input(1).extents;
  check_equal(call, 1, part_of(x, 0, g.leading), part_of(dy, 0, g.leading));
  call.outputs = {{DType::f32, joined(part_of(dy, g.leading, g.out), part_of(x, g.leading, g.in))}};
}

/// "k 3 64": the first dimension may be cut.
std::string group_dims(char letter, const Extents& extents) {
  std::string text(1, letter);
  for (int i = 1; i < extents.rank(); ++i) text += " " + std::to_string(extents[i]);
  return text;
}
/// "n t "
std::string leading_dims(int count) {
  const std::string letters = usual_letters(count + 1);  // with channels, which are not leading
  return letters.substr(0, letters.size() - 1);
}

// Output channels are `k` in every rule: strategies know them by that letter.

std::string linear_rule(const OpCall& call) {
  const Groups g = linear_groups(call);
  const Extents& w = call.input(1).extents;
  const std::string l = leading_dims(g.leading), k = group_dims('k', part_of(w, 0, g.out)),
                    c = group_dims('c', part_of(w, g.out, g.in));
  return l + c + ", " + k + " " + c + ", " + k + " -> " + l + k;
}

std::string grad_input_rule(const OpCall& call) {
  const Groups g = grad_input_groups(call);
  const Extents& w = call.input(1).extents;
  const std::string l = leading_dims(g.leading), c = group_dims('c', part_of(w, 0, g.out)),
                    k = group_dims('k', part_of(w, g.out, g.in));
  return l + c + ", " + c + " " + k + " -> " + l + k;
}

std::string grad_weight_rule(const OpCall& call) {
  const Groups g = grad_weight_groups(call);
  const std::string l = leading_dims(g.leading),
                    k = group_dims('k', part_of(call.input(0).extents, g.leading, g.out)),
                    c = group_dims('c', part_of(call.input(1).extents, g.leading, g.in));
  return l + k + ", " + l + c + " -> " + k + " " + c;
}

double elements_of(const Extents& extents, int first, int count) {
  return static_cast<double>(part_of(extents, first, count).elements());
}
Cost linear_cost(const OpCall& call) {
  const Groups g = linear_groups(call);
  return product_cost(call, elements_of(call.input(0).extents, g.leading, g.in));
}
Cost grad_input_cost(const OpCall& call) {
  const Groups g = grad_input_groups(call);
  return product_cost(call, elements_of(call.input(1).extents, 0, g.out));
}
Cost grad_weight_cost(const OpCall& call) {
  const Groups g = grad_weight_groups(call);
  return product_cost(call, elements_of(call.input(0).extents, 0, g.leading));
}

void linear_gradient(GradContext& g) {
  const ValueId x = g.input(0), w = g.input(1), dy = g.grad_output(0);
  if (g.wants_grad(0)) g.set_grad_input(0, g.emit("LinearGradInput", {dy, w}, g.attrs()));
  if (g.wants_grad(1)) g.set_grad_input(1, g.emit("LinearGradWeight", {dy, x}, g.attrs()));
  if (!g.wants_grad(2)) return;
  const int leading = g.type(dy).extents.rank() - g.type(g.input(2)).extents.rank();
  g.set_grad_input(2, emit_sum(g, dy, leading_axes(leading), false));
}

}  // namespace

void register_linear_ops(OpRegistry& registry) {
  const std::vector<AttrSpec> attrs = {
      {"contracted", std::int64_t{1}, "how many of the last dimensions of x are summed over"}};
  const OperandSpec x{"x", "f32 or bf16 [L.., I..]"}, w{"w", "like x: [O.., I..]"};
  const OperandSpec dy{"dy", "f32 or bf16 [L.., O..]"};
  registry.add({.name = "Linear",
                .doc = "Fully connected layer: sums over the last dimensions of x.",
                .inputs = {x, w, {"b", "f32 [O..]", OperandSpec::Arity::optional}},
                .outputs = {{"y", "like x: [L.., O..]"}},
                .attrs = attrs,
                .rule_for = linear_rule,
                .infer = infer_linear,
                .cost = linear_cost,
                .gradient = linear_gradient,
                .accumulates = true,
                .bf16_inputs = {0, 1},
                .prefers_bf16 = true});
  registry.add({.name = "LinearGradInput",
                .doc = "Gradient of Linear by x.",
                .inputs = {dy, {"w", "like dy: [O.., I..]"}},
                .outputs = {{"dx", "like dy: [L.., I..]"}},
                .attrs = attrs,
                .rule_for = grad_input_rule,
                .infer = infer_grad_input,
                .cost = grad_input_cost,
                .accumulates = true});
  registry.add({.name = "LinearGradWeight",
                .doc = "Gradient of Linear by w, in f32.",
                .inputs = {dy, {"x", "like dy: [L.., I..]"}},
                .outputs = {{"dw", "f32 [O.., I..]"}},
                .attrs = attrs,
                .rule_for = grad_weight_rule,
                .infer = infer_grad_weight,
                .cost = grad_weight_cost,
                .accumulates = true});
}

}  // namespace hpdlf::graph
