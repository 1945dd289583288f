#include <algorithm>
#include <vector>

#include "partition/cost_model.hpp"
#include "partition/dependences.hpp"
#include "partition/lower.hpp"

namespace hpdlf::partition {

void set_priorities(TaskGraph& graph, const CostModel& model) {
  const Dependences dependences(graph);
  std::vector<double> rank(graph.tasks.size(),
                           0);  // seconds from the start of the task to the end of the step
  double longest = 0;
  for (std::size_t t = graph.tasks.size(); t-- > 0;) {
    for (const TaskId next : dependences.successors(t))
      rank[t] = std::max(rank[t], rank[static_cast<std::size_t>(next)]);
    rank[t] += model.seconds(graph.tasks[t]);
    longest = std::max(longest, rank[t]);
  }
  for (std::size_t t = 0; t < graph.tasks.size(); ++t)
    graph.tasks[t].priority = static_cast<std::int16_t>(rank[t] / longest * (kPriorityLevels - 1));
}

}  // namespace hpdlf::partition
