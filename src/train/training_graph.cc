#include "train/training_graph.hpp"

#include "graph/autodiff.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::train {

void complete_training_graph(graph::Graph& graph, graph::ValueId loss,
                             const OptimizerOptions& optimizer, graph::Math math) {
  graph::split_concat_conv(graph);
  add_optimizer(graph, graph::differentiate(graph, loss), optimizer);
  graph::optimize(graph, math);
}

}  // namespace hpdlf::train
