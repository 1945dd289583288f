// Operators that only move or convert elements. Kernels: codelets/cpu/layout.cc.
//   Concat, Split, Slice   whole along the axes they cut, free along the others
//   Reshape                free along leading and trailing dimensions that both sides share
//   Transpose, Expand      free
//   Cast                   free; any dtype to any other
// Source: ONNX of the opsets named below, with shapes, axes and the like as attributes.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/axes.hpp"
#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {
namespace {

using Integers = std::vector<std::int64_t>;

Integers list_of(const Extents& extents) { return {extents.begin(), extents.end()}; }

Cost copy_cost(const OpCall& call) { return streaming_cost(call, 1); }

// ------------------------------------------------------------------------------------------------- Concat and Split

int axis_of(const OpCall& call) {
  return normalized_axis(call.attrs->integer("axis"), call.input(0).extents.rank());
}

void infer_concat(OpCall& call) {
  const int axis = axis_of(call);
  TensorType y = call.input(0);
  y.extents[axis] = 0;
  for (const TensorType& x : call.inputs) {
    TensorType rest = x;
    HPDLF_CHECK(x.extents.rank() == y.extents.rank(), "inputs {} and {} differ in rank",
                to_string(call.input(0)), to_string(x));
    rest.extents[axis] = y.extents[axis];
    HPDLF_CHECK(rest == y, "inputs {} and {} differ elsewhere than along axis {}",
                to_string(call.input(0)), to_string(x), axis);
    y.extents[axis] += x.extents[axis];
  }
  call.outputs = {y};
}

void infer_split(OpCall& call) {
  const int axis = axis_of(call);
  const TensorType& x = call.input(0);
  const Integers& split = call.attrs->integers("split");
  std::int64_t sum = 0;
  call.outputs.clear();
  for (const auto part : split) {
    HPDLF_CHECK(part >= 1, "split={} has a part of {}", hpdlf::to_string(AttrValue(split)), part);
    sum += part;
    TensorType y = x;
    y.extents[axis] = part;
    call.outputs.push_back(y);
  }
  HPDLF_CHECK(sum == x.extents[axis], "split={} adds up to {}, x is {} with {} along axis {}",
              hpdlf::to_string(AttrValue(split)), sum, to_string(x), x.extents[axis], axis);
}

/// Concat and Split alike: the axis is fixed in every operand.
std::string axis_fixed_rule(const OpCall& call) {
  const int axis = axis_of(call);
  const auto side = [&](const std::vector<TensorType>& types) {
    std::string text;
    for (const TensorType& t : types)
      text += (text.empty() ? "" : ", ") +
              dims_fixed_where(t.extents, [&](int i) { return i == axis; });
    return text;
  };
  return side(call.inputs) + " -> " + side(call.outputs);
}

void concat_gradient(GradContext& g) {
  const int axis = normalized_axis(g.attrs().integer("axis"), g.type(g.output(0)).extents.rank());
  Integers split;
  for (const ValueId x : g.node().inputs) split.push_back(g.type(x).extents[axis]);
  const auto grads =
      g.emit_all("Split", {g.grad_output(0)}, {{"axis", std::int64_t{axis}}, {"split", split}});
  for (std::size_t i = 0; i < grads.size(); ++i)
    if (g.wants_grad(static_cast<int>(i))) g.set_grad_input(static_cast<int>(i), grads[i]);
}

/// Outputs that nothing depends on have no gradient: those that have one are set into zeros and added.
void split_gradient(GradContext& g) {
  const Extents x = g.type(g.input(0)).extents;
  const std::int64_t axis = normalized_axis(g.attrs().integer("axis"), x.rank());
  const int parts = static_cast<int>(g.node().outputs.size());
  std::vector<ValueId> grads;
  for (int i = 0; i < parts; ++i)
    if (g.grad_output(i) != kNone) grads.push_back(g.grad_output(i));
  if (static_cast<int>(grads.size()) == parts) {
    g.set_grad_input(0, g.emit("Concat", grads, {{"axis", axis}}));
    return;
  }
  std::vector<ValueId> terms;
  std::int64_t start = 0;
  for (int i = 0; i < parts; ++i) {
    const std::int64_t end = start + g.attrs().integers("split")[static_cast<std::size_t>(i)];
    if (g.grad_output(i) != kNone)
      terms.push_back(g.emit("SliceGrad", {g.grad_output(i)},
                             {{"starts", Integers{start}},
                              {"ends", Integers{end}},
                              {"axes", Integers{axis}},
                              {"input_shape", list_of(x)}}));
    start = end;
  }
  g.set_grad_input(0, terms.size() == 1 ? terms[0] : g.emit("Sum", terms));
}

// ------------------------------------------------------------------------------------------------- Slice

Extents sliced_extents(const Extents& x, const Attrs& attrs) {
  const auto ranges = slices_from(attrs, x);
  Extents y;
  for (int i = 0; i < x.rank(); ++i) y.push_back(ranges[static_cast<std::size_t>(i)].count);
  HPDLF_CHECK(y.elements() > 0, "slice starts={} ends={} of {} is empty",
              hpdlf::to_string(AttrValue(attrs.integers("starts"))),
              hpdlf::to_string(AttrValue(attrs.integers("ends"))), to_string(x));
  return y;
}

void infer_slice(OpCall& call) {
  call.outputs = {{call.input(0).dtype, sliced_extents(call.input(0).extents, *call.attrs)}};
}

void infer_slice_grad(OpCall& call) {
  const Extents x(std::span(call.attrs->integers("input_shape")));
  const Extents expected = sliced_extents(x, *call.attrs);
  HPDLF_CHECK(call.input(0).extents == expected, "dy is {}, slicing {} gives {}",
              to_string(call.input(0)), to_string(x), to_string(expected));
  call.outputs = {{call.input(0).dtype, x}};
}

std::string sliced_dims(const OpCall& call, const Extents& whole, const Extents& operand) {
  const auto ranges = slices_from(*call.attrs, whole);
  return dims_fixed_where(
      operand, [&](int i) { return !ranges[static_cast<std::size_t>(i)].is_whole(whole[i]); });
}

std::string slice_rule(const OpCall& call) {
  const Extents& x = call.input(0).extents;
  return sliced_dims(call, x, x) + " -> " + sliced_dims(call, x, call.output(0).extents);
}

std::string slice_grad_rule(const OpCall& call) {
  const Extents& x = call.output(0).extents;
  return sliced_dims(call, x, call.input(0).extents) + " -> " + sliced_dims(call, x, x);
}

void slice_gradient(GradContext& g) {
  Attrs attrs = g.attrs();
  attrs.set("input_shape", list_of(g.type(g.input(0)).extents));
  g.set_grad_input(0, g.emit("SliceGrad", {g.grad_output(0)}, attrs));
}

// ------------------------------------------------------------------------------------------------- Reshape, Transpose, Expand, Cast

void infer_reshape(OpCall& call) {
  const TensorType& x = call.input(0);
  const Integers& shape = call.attrs->integers("shape");
  Extents y;
  int open = -1;
  for (int i = 0; i < static_cast<int>(shape.size()); ++i) {
    const std::int64_t d = shape[static_cast<std::size_t>(i)];
    HPDLF_CHECK(d >= -1 && (d != 0 || i < x.extents.rank()) && (d != -1 || open < 0),
                "shape={} of a Reshape of {}: extents are positive, 0 copies one of x, one -1 "
                "takes the rest",
                hpdlf::to_string(AttrValue(shape)), to_string(x));
    if (d == -1) open = i;
    y.push_back(d == -1 ? 1 : d == 0 ? x.extents[i] : d);
  }
  if (open >= 0 && y.elements() > 0) y[open] = x.elements() / y.elements();
  HPDLF_CHECK(y.elements() == x.elements(), "Reshape of {} with {} elements to shape={}",
              to_string(x), x.elements(), hpdlf::to_string(AttrValue(shape)));
  call.outputs = {{x.dtype, y}};
}

std::string reshape_rule(const OpCall& call) {
  const Extents& x = call.input(0).extents;
  const Extents& y = call.output(0).extents;
  const int least = std::min(x.rank(), y.rank());
  int leading = 0;
  while (leading < least && x[leading] == y[leading]) ++leading;
  int trailing = 0;
  while (trailing < least - leading && x[x.rank() - 1 - trailing] == y[y.rank() - 1 - trailing])
    ++trailing;
  const std::string letters = usual_letters(x.rank());
  const std::string from =
      dims_fixed_where(x, [&](int i) { return i >= leading && i < x.rank() - trailing; });
  const std::string to = rule_dims(y.rank(), [&](int i, const std::string&) {
    if (i >= leading && i < y.rank() - trailing) return std::to_string(y[i]);
    const int source = i < leading ? i : i + x.rank() - y.rank();
    return std::string(1, letters[static_cast<std::size_t>(2 * source)]);
  });
  return from + " -> " + to;
}

void reshape_gradient(GradContext& g) {
  g.set_grad_input(
      0, g.emit("Reshape", {g.grad_output(0)}, {{"shape", list_of(g.type(g.input(0)).extents)}}));
}

/// perm with the default (reversed) filled in.
Integers permutation(const Attrs& attrs, int rank) {
  Integers perm = attrs.integers("perm");
  if (perm.empty())
    for (int i = rank - 1; i >= 0; --i) perm.push_back(i);
  Integers sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < std::max(rank, static_cast<int>(sorted.size())); ++i)
    HPDLF_CHECK(i < rank && static_cast<int>(sorted.size()) == rank &&
                    sorted[static_cast<std::size_t>(i)] == i,
                "perm={} is no permutation of the {} dimensions of x",
                hpdlf::to_string(AttrValue(perm)), rank);
  return perm;
}

void infer_transpose(OpCall& call) {
  const TensorType& x = call.input(0);
  TensorType y{x.dtype, {}};
  for (const auto p : permutation(*call.attrs, x.extents.rank()))
    y.extents.push_back(x.extents[static_cast<int>(p)]);
  call.outputs = {y};
}

std::string transpose_rule(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  const Integers perm = permutation(*call.attrs, rank);
  const std::string letters = usual_letters(rank);
  return letters + " -> " + rule_dims(rank, [&](int i, const std::string&) {
           return std::string(
               1, letters[static_cast<std::size_t>(2 * perm[static_cast<std::size_t>(i)])]);
         });
}

void transpose_gradient(GradContext& g) {
  const Integers perm = permutation(g.attrs(), g.type(g.input(0)).extents.rank());
  Integers inverse(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i)
    inverse[static_cast<std::size_t>(perm[i])] = static_cast<std::int64_t>(i);
  g.set_grad_input(0, g.emit("Transpose", {g.grad_output(0)}, {{"perm", inverse}}));
}

void infer_expand(OpCall& call) {
  const TensorType& x = call.input(0);
  const Extents y(std::span(call.attrs->integers("shape")));
  const int missing = y.rank() - x.extents.rank();
  HPDLF_CHECK(missing >= 0, "Expand of {} to {}: the rank may not shrink", to_string(x),
              to_string(y));
  for (int i = 0; i < x.extents.rank(); ++i)
    HPDLF_CHECK(x.extents[i] == y[i + missing] || x.extents[i] == 1,
                "Expand of {} to {}: {} along dimension {} of x", to_string(x), to_string(y),
                x.extents[i], i);
  call.outputs = {{x.dtype, y}};
}

std::string expand_rule(const OpCall& call) {
  const Extents& x = call.input(0).extents;
  const Extents& y = call.output(0).extents;
  const int missing = y.rank() - x.rank();
  const std::string from =
      rule_dims(y.rank(), [&](int i, const std::string& letter) -> std::string {
        if (i < missing) return "";
        return x[i - missing] == y[i] ? letter : "1";
      });
  return from + " -> " + usual_letters(y.rank());
}

void expand_gradient(GradContext& g) {
  const Extents x = g.type(g.input(0)).extents;
  const Extents y = g.type(g.output(0)).extents;
  const int missing = y.rank() - x.rank();
  Integers axes;
  for (int i = 0; i < y.rank(); ++i)
    if (i < missing || x[i - missing] != y[i]) axes.push_back(i);
  ValueId grad = g.grad_output(0);
  if (!axes.empty())
    grad = g.emit("ReduceSum", {grad}, {{"axes", axes}, {"keepdims", std::int64_t{1}}});
  if (missing > 0) grad = g.emit("Reshape", {grad}, {{"shape", list_of(x)}});
  g.set_grad_input(0, grad);
}

DType dtype_to(const Attrs& attrs) {
  const auto dtype = dtype_from_name(attrs.string("to"));
  HPDLF_CHECK(dtype.has_value(), "to=\"{}\" is no dtype", attrs.string("to"));
  return *dtype;
}

void infer_cast(OpCall& call) { call.outputs = {{dtype_to(*call.attrs), call.input(0).extents}}; }

void cast_gradient(GradContext& g) {
  const DType from = g.type(g.input(0)).dtype;
  const ValueId dy = g.wide_grad_output(0);
  if (g.type(dy).dtype == from) return g.set_grad_input(0, dy);
  g.set_grad_input(0, g.emit("Cast", {dy}, {{"to", std::string(name_of(from))}}));
}

std::vector<AttrSpec> slice_attrs(std::initializer_list<AttrSpec> more = {}) {
  std::vector<AttrSpec> attrs = {
      {"starts", Integers{}, "first elements; negative ones count from the back", true},
      {"ends", Integers{}, "one past the last elements, clamped", true},
      {"axes", Integers{}, "axes they belong to; empty: the first ones"},
      {"steps", Integers{}, "steps, negative to go backwards; empty: 1"}};
  attrs.insert(attrs.end(), more);
  return attrs;
}

void register_cutting_ops(OpRegistry& registry) {
  registry.add(
      {.name = "Concat",
       .onnx = {"Concat", 13},
       .doc = "The inputs one after the other along an axis.",
       .inputs = {{"xs", "alike but for the axis", OperandSpec::Arity::variadic}},
       .outputs = {{"y", "the axis is as long as those of the inputs together"}},
       .attrs = {{"axis", std::int64_t{-1}, "axis to join; negative counts from the back"}},
       .rule_for = axis_fixed_rule,
       .infer = infer_concat,
       .cost = copy_cost,
       .gradient = concat_gradient,
       .bf16_inputs = {0}});
  registry.add(
      {.name = "Split",
       .onnx = {"Split", 13},
       .doc = "Cuts x along an axis into parts of given extents.",
       .inputs = {{"x", "any"}},
       .outputs = {{"ys", "one a part", OperandSpec::Arity::variadic}},
       .attrs = {{"axis", std::int64_t{0}, "axis to cut; negative counts from the back"},
                 {"split", Integers{}, "extents of the parts; they add up to that of x", true}},
       .rule_for = axis_fixed_rule,
       .infer = infer_split,
       .cost = copy_cost,
       .gradient = split_gradient,
       .bf16_inputs = {0}});
  registry.add({.name = "Slice",
                .onnx = {"Slice", 13},
                .doc = "A regular part of x.",
                .inputs = {{"x", "any"}},
                .outputs = {{"y", "the part"}},
                .attrs = slice_attrs(),
                .rule_for = slice_rule,
                .infer = infer_slice,
                .cost = copy_cost,
                .gradient = slice_gradient,
                .bf16_inputs = {0}});
  registry.add({.name = "SliceGrad",
                .doc = "Gradient of Slice by x: dy in its place, zeros elsewhere.",
                .inputs = {{"dy", "like the part"}},
                .outputs = {{"dx", "like the tensor that was sliced"}},
                .attrs = slice_attrs({{"input_shape", Integers{}, "extents of x", true}}),
                .rule_for = slice_grad_rule,
                .infer = infer_slice_grad,
                .cost = copy_cost});
}

}  // namespace

void register_layout_ops(OpRegistry& registry) {
  register_cutting_ops(registry);
  registry.add({.name = "Reshape",
                .onnx = {"Reshape", 14},
                .doc = "The same elements in row-major order under another shape.",
                .inputs = {{"x", "any"}},
                .outputs = {{"y", "of the given shape"}},
                .attrs = {{"shape", Integers{}, "0: as in x; one -1: what remains", true}},
                .rule_for = reshape_rule,
                .infer = infer_reshape,
                .cost = copy_cost,
                .gradient = reshape_gradient,
                .bf16_inputs = {0}});
  registry.add({.name = "Transpose",
                .onnx = {"Transpose", 13},
                .doc = "Permutes the dimensions: y.dim(i) = x.dim(perm[i]).",
                .inputs = {{"x", "any"}},
                .outputs = {{"y", "permuted"}},
                .attrs = {{"perm", Integers{}, "permutation; empty: reversed"}},
                .rule_for = transpose_rule,
                .infer = infer_transpose,
                .cost = copy_cost,
                .gradient = transpose_gradient,
                .bf16_inputs = {0}});
  registry.add({.name = "Expand",
                .onnx = {"Expand", 13},
                .doc = "Repeats x along dimensions of extent 1 and new leading ones.",
                .inputs = {{"x", "any"}},
                .outputs = {{"y", "of the given shape"}},
                .attrs = {{"shape", Integers{}, "shape of y", true}},
                .rule_for = expand_rule,
                .infer = infer_expand,
                .cost = copy_cost,
                .gradient = expand_gradient,
                .bf16_inputs = {0}});
  registry.add({.name = "Cast",
                .onnx = {"Cast", 13},
                .doc = "Converts to another dtype; floats to integers towards zero.",
                .inputs = {{"x", "any"}},
                .outputs = {{"y", "like x, of dtype `to`"}},
                .attrs = {{"to", std::string("f32"), "name of the dtype", true}},
                .rule = "... -> ...",
                .infer = infer_cast,
                .cost = copy_cost,
                .gradient = cast_gradient});
}

}  // namespace hpdlf::graph
