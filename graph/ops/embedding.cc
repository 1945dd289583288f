// Lookup of rows of a table.
//   Gather      y[.., c] = table[indices[..], c]
//   GatherGrad  dtable[k, c] = sum of dy[.., c] over the positions whose index is k, in their order
// The rows of the table may be cut: a tile then gives the rows it holds and zeros elsewhere, and the tiles' results are summed.
// Source: ONNX Gather-13 with axis = 0 and a table of two dimensions. Kernels: codelets/cpu/embedding.cc.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "graph/op_spec.hpp"
#include "graph/ops/grad_sum.hpp"

namespace hpdlf::graph {
namespace {

void check_indices(const TensorType& indices) {
  HPDLF_CHECK(
      (indices.dtype == DType::u8 || indices.dtype == DType::i32 || indices.dtype == DType::i64) &&
          indices.extents.rank() >= 1 && indices.extents.rank() <= 4 && indices.elements() > 0,
      "indices are {}; they must be u8, i32 or i64 of 1 to 4 dimensions, not empty",
      to_string(indices));
}

Extents rows_extents(const TensorType& indices, std::int64_t columns) {
  Extents e = indices.extents;
  e.push_back(columns);
  return e;
}

void infer_gather(OpCall& call) {
  const TensorType &table = call.input(0), &indices = call.input(1);
  HPDLF_CHECK((table.dtype == DType::f32 || table.dtype == DType::bf16) &&
                  table.extents.rank() == 2 && table.elements() > 0,
              "table is {}; it must be f32 or bf16 [rows, columns], not empty", to_string(table));
  check_indices(indices);
  call.outputs = {{table.dtype, rows_extents(indices, table.extents[1])}};
}

void infer_gather_grad(OpCall& call) {
  const TensorType &indices = call.input(0), &dy = call.input(1);
  check_indices(indices);
  const std::int64_t rows = call.attrs->integer("rows");
  HPDLF_CHECK(rows > 0, "rows={} must be positive", rows);
  HPDLF_CHECK(dy.dtype == DType::f32 && dy.extents.rank() == indices.extents.rank() + 1 &&
                  dy.extents == rows_extents(indices, dy.extents.back()),
              "dy is {}; for indices {} it must be f32 with their extents and the columns",
              to_string(dy), to_string(indices));
  call.outputs = {{DType::f32, {rows, dy.extents.back()}}};
}

/// "n! t! ": the dimensions of the indices. All positions stay in one tile, so that the table is cut as its readers and its update are,
/// and never gathered: what is looked up is small beside it.
std::string index_dims(const TensorType& indices) {
  std::string text;
  for (const char c : usual_letters(indices.extents.rank() + 1)) {
    if (c == 'c') break;
    text += c == ' ' ? "! " : std::string(1, c);
  }
  return text;
}

std::string gather_rule(const OpCall& call) {
  const std::string i = index_dims(call.input(1));
  return "k c!, " + i + " -> " + i + "c!";
}

std::string gather_grad_rule(const OpCall& call) {
  const std::string i = index_dims(call.input(0));
  return i + ", " + i + "c! -> k c!";
}

/// What is looked up is read, not the table.
Cost gather_cost(const OpCall& call) {
  const auto written = static_cast<double>(call.output(0).bytes());
  return {.flops = static_cast<double>(call.output(0).elements()),
          .bytes_read = std::min(written, static_cast<double>(call.input(0).bytes())),
          .bytes_written = written};
}
Cost gather_grad_cost(const OpCall& call) { return streaming_cost(call, 1); }

/// A row may be looked up often: the sums of a bf16 table are f32, too.
void gather_gradient(GradContext& g) {
  const ValueId dy = emit_cast(g, g.wide_grad_output(0), DType::f32);
  g.set_grad_input(
      0, g.emit("GatherGrad", {g.input(1), dy}, {{"rows", g.type(g.input(0)).extents[0]}}));
}

}  // namespace

void register_embedding_ops(OpRegistry& registry) {
  const OperandSpec indices{"indices", "u8, i32 or i64 [..], in [0, rows)"};
  registry.add({.name = "Gather",
                .onnx = {"Gather", 13},
                .doc = "Rows of a table by their numbers: an embedding.",
                .inputs = {{"table", "f32 or bf16 [rows, columns]"}, indices},
                .outputs = {{"y", "[.., columns]"}},
                .rule_for = gather_rule,
                .infer = infer_gather,
                .cost = gather_cost,
                .gradient = gather_gradient,
                .accumulates = true});
  registry.add({.name = "GatherGrad",
                .doc = "Gradient of Gather by the table: rows that were looked up often are sums.",
                .inputs = {indices, {"dy", "f32 [.., columns]"}},
                .outputs = {{"dtable", "f32 [rows, columns]"}},
                .attrs = {{"rows", std::int64_t{1}, "of the table", true}},
                .rule_for = gather_grad_rule,
                .infer = infer_gather_grad,
                .cost = gather_grad_cost,
                .accumulates = true});
}

}  // namespace hpdlf::graph
