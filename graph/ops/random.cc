// Random operators. They draw Philox numbers keyed by (seed, stream) at (step, global element index), so that neither tiling nor
// threads nor a resume change a result.
//   Dropout       y = x / (1 - ratio) with probability 1 - ratio, else 0
//   DropoutGrad   the same mask applied to dy
// Source: ONNX Dropout-13 in training mode; Philox: Salmon et al., SC11. Kernels: codelets/cpu/random.cc.
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

void infer_dropout(OpCall& call) {
  const double ratio = call.attrs->real("ratio");
  HPDLF_CHECK(ratio >= 0 && ratio < 1, "ratio={} of a Dropout must be in [0, 1)", ratio);
  HPDLF_CHECK(call.input(0).dtype == DType::f32, "Dropout of {}; it takes f32",
              to_string(call.input(0)));
  same_as_first_input(call);
}

/// About 12 integer operations an element for the random number.
Cost dropout_cost(const OpCall& call) { return streaming_cost(call, 12); }

void dropout_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("DropoutGrad", {g.grad_output(0)}, g.attrs()));
}

OpSpec dropout_spec(const std::string& name, const std::string& doc, const std::string& from,
                    const std::string& to) {
  return {.name = name,
          .doc = doc,
          .inputs = {{from, "f32, any rank"}},
          .outputs = {{to, "like " + from}},
          .attrs = {{"ratio", 0.5, "probability of a zero"},
                    {"stream", std::int64_t{0},
                     "distinguishes the Dropouts of a graph; gradient and forward share it"}},
          .rule = "... -> ...",
          .infer = infer_dropout,
          .cost = dropout_cost,
          .in_place = {{0, 0}}};
}

}  // namespace

void register_random_ops(OpRegistry& registry) {
  OpSpec dropout =
      dropout_spec("Dropout", "Sets random elements to zero and scales the rest.", "x", "y");
  dropout.onnx = {"Dropout", 13};
  dropout.gradient = dropout_gradient;
  registry.add(std::move(dropout));
  registry.add(dropout_spec("DropoutGrad",
                            "Gradient of Dropout by x: the mask of the same stream and step.", "dy",
                            "dx"));
}

}  // namespace hpdlf::graph
