#include "runtime/launch.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.hpp"

namespace hpdlf::runtime {
namespace {

/// Of Slurm's list, as "2(x3),1": two tasks on each of three nodes, then one. 0 if it does not say.
int tasks_on_node(std::string_view list, int node) {
  for (const std::string& entry : split(list, ',')) {
    int tasks = 0;
    int nodes = 1;
    std::sscanf(entry.c_str(), "%d(x%d)", &tasks, &nodes);
    if (node < nodes) return tasks;
    node -= nodes;
  }
  return 0;
}

}  // namespace

Launch read_launch() {
  Launch launch;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"})
    launch.mpi = launch.mpi || std::getenv(name) != nullptr;
  // First what mpirun says: srun may have started its daemons, one a node, and says so.
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"})
    if (const char* value = std::getenv(name)) {
      launch.local_ranks = std::max(1, std::atoi(value));
      return launch;
    }
  const char* tasks = std::getenv("SLURM_STEP_TASKS_PER_NODE");
  const char* node = std::getenv("SLURM_NODEID");
  if (launch.mpi && tasks != nullptr && node != nullptr)
    launch.local_ranks = std::max(1, tasks_on_node(tasks, std::atoi(node)));
  return launch;
}

}  // namespace hpdlf::runtime
