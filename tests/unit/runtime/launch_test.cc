// Launchers, by the variables that they set.
#include "runtime/launch.hpp"

#include <gtest/gtest.h>

#include "support/environment.hpp"

namespace hpdlf::runtime {
namespace {

using test::Environment;

/// No launcher, whatever started the tests.
class LaunchTest : public testing::Test {
  Environment none_[8] = {{"OMPI_COMM_WORLD_SIZE", nullptr},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", nullptr},
                          {"MPI_LOCALNRANKS", nullptr},
                          {"PMI_SIZE", nullptr},
                          {"PMI_RANK", nullptr},
                          {"PMIX_RANK", nullptr},
                          {"SLURM_STEP_TASKS_PER_NODE", nullptr},
                          {"SLURM_NODEID", nullptr}};
};

TEST_F(LaunchTest, IsOneProcessWithoutALauncher) {
  EXPECT_FALSE(read_launch().mpi);
  EXPECT_EQ(read_launch().local_ranks, 1);
}

TEST_F(LaunchTest, KnowsTheRanksOfAMachineUnderMpirun) {
  const Environment size("OMPI_COMM_WORLD_SIZE", "8"), local("OMPI_COMM_WORLD_LOCAL_SIZE", "4");
  const Environment slurm("SLURM_STEP_TASKS_PER_NODE", "1(x2)"), node("SLURM_NODEID", "0");

  EXPECT_TRUE(read_launch().mpi);
  EXPECT_EQ(read_launch().local_ranks, 4) << "srun started mpirun's daemons";
}

TEST_F(LaunchTest, KnowsTheRanksOfAMachineUnderSrun) {
  const Environment rank("PMIX_RANK", "0"), slurm("SLURM_STEP_TASKS_PER_NODE", "2(x3),1,16(x2)");
  const auto on_node = [](const char* node) {
    const Environment id("SLURM_NODEID", node);
    return read_launch().local_ranks;
  };

  EXPECT_TRUE(read_launch().mpi);
  EXPECT_EQ(on_node("0"), 2);
  EXPECT_EQ(on_node("2"), 2);
  EXPECT_EQ(on_node("3"), 1);
  EXPECT_EQ(on_node("5"), 16);
  EXPECT_EQ(on_node("6"), 1) << "not in the list";
}

TEST_F(LaunchTest, TakesNoListForRanksThatIsNone) {
  const Environment node("SLURM_NODEID", "0");
  const auto with = [](const char* list) {
    const Environment slurm("SLURM_STEP_TASKS_PER_NODE", list);
    return read_launch().local_ranks;
  };
  EXPECT_EQ(with("4"), 1) << "tasks of Slurm that are no ranks of MPI";

  const Environment rank("PMI_RANK", "1");
  EXPECT_EQ(with("4"), 4);
  for (const char* list : {"", ",", "x", "(x2)", "0", "-3"}) EXPECT_EQ(with(list), 1) << list;
}

}  // namespace
}  // namespace hpdlf::runtime
