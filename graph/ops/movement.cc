// Movements that are kernel calls too. Lowering inserts them; a graph may also use them. Kernels: codelets/cpu/movement.cc.
//   Copy   y = x, converted if y is of another dtype
//   Fill   every element is `value`
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

DType dtype_from(const Attrs& attrs, const std::string& attr, DType otherwise) {
  const std::string& name = attrs.string(attr);
  if (name.empty()) return otherwise;
  const auto dtype = dtype_from_name(name);
  HPDLF_CHECK(dtype.has_value(), "{}=`{}` is no element type", attr, name);
  return *dtype;
}

void infer_copy(OpCall& call) {
  const TensorType& x = call.input(0);
  call.outputs = {{dtype_from(*call.attrs, "to", x.dtype), x.extents}};
}

void infer_fill(OpCall& call) {
  const auto& shape = call.attrs->integers("shape");
  for (const auto d : shape)
    HPDLF_CHECK(d >= 0, "shape={} of a Fill has a negative extent", to_string(AttrValue(shape)));
  call.outputs = {{dtype_from(*call.attrs, "dtype", DType::f32), Extents(shape)}};
}

std::string fill_rule(const OpCall& call) {
  const int rank = call.output(0).extents.rank();
  return "-> " + (rank == 0 ? "()" : usual_letters(rank));
}

Cost movement_cost(const OpCall& call) { return streaming_cost(call, 0); }

void copy_gradient(GradContext& g) {
  const std::string from(name_of(g.type(g.input(0)).dtype));
  g.set_grad_input(0, g.emit("Copy", {g.grad_output(0)}, {{"to", from}}));
}

}  // namespace

void register_movement_ops(OpRegistry& registry) {
  registry.add({.name = "Copy",
                .onnx = {"Identity", 13},
                .doc = "x, of the same or another element type.",
                .inputs = {{"x", "any dtype and rank"}},
                .outputs = {{"y", "extents of x"}},
                .attrs = {{"to", std::string(), "dtype of y; empty: that of x"}},
                .rule = "... -> ...",
                .infer = infer_copy,
                .cost = movement_cost,
                .gradient = copy_gradient});
  registry.add({.name = "Fill",
                .doc = "A tensor of equal elements.",
                .inputs = {},
                .outputs = {{"y", "shape `shape`, dtype `dtype`"}},
                .attrs = {{"value", 0.0, "of every element"},
                          {"shape", std::vector<std::int64_t>{}, "extents; empty: a scalar"},
                          {"dtype", std::string("f32"), "element type"}},
                .rule_for = fill_rule,
                .infer = infer_fill,
                .cost = movement_cost});
}

}  // namespace hpdlf::graph
