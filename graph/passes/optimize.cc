#include <vector>

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "graph/passes/pass.hpp"

namespace hpdlf::graph {

Math math_from(const std::string& name) {
  if (name == "fast") return Math::fast;
  HPDLF_CHECK(name == "strict", "math \"{}\" is neither fast nor strict{}", name,
              did_you_mean(name, std::vector<std::string>{"fast", "strict"}));
  return Math::strict;
}

void optimize(Graph& graph, const Optimization& how) {
  if (how.math == Math::fast) {
    use_winograd(graph, how.effort);
    fuse_normalize(graph);
  }
  eliminate_dead_nodes(graph);
  verify(graph);
}

}  // namespace hpdlf::graph
