#include "train/training_graph.hpp"

#include "base/error.hpp"
#include "graph/autodiff.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::train {

void complete_training_graph(graph::Graph& graph, graph::ValueId loss,
                             const OptimizerOptions& optimizer, const graph::Optimization& how,
                             DType dtype) {
  HPDLF_CHECK(dtype == DType::f32 || dtype == DType::bf16, "training in {}; f32 and bf16 are known",
              name_of(dtype));
  graph::split_concat_conv(graph);
  if (dtype == DType::bf16) graph::use_bf16(graph);
  add_optimizer(graph, graph::differentiate(graph, loss), optimizer);
  graph::optimize(graph, how);
}

}  // namespace hpdlf::train
