// What the environment says of the launcher that started this process.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hpdlf::runtime {

/// Open MPI, MPICH and what is derived from them, and Slurm's srun.
struct Launch {
  bool mpi = false;     ///< started by one, as a rank
  int local_ranks = 1;  ///< ranks on this machine
};
[[nodiscard]] Launch read_launch();

}  // namespace hpdlf::runtime
