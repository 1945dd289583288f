// Small nets, cut in every way, on StarPU: bit-equal to the task oracle under any scheduler and number of workers.
#include <gtest/gtest.h>

#include "runtime/executor.hpp"
#include "support/executor_runs.hpp"
#include "unit/partition/small_nets.hpp"

namespace hpdlf::test {
namespace {

struct Setting {
  const char* scheduler;
  int workers;
};

class SplitRuns : public testing::TestWithParam<Setting> {
 protected:
  runtime::Session session{{.cpu_workers = GetParam().workers, .scheduler = GetParam().scheduler}};
  void TearDown() override { EXPECT_EQ(runtime::Session::live_handles(), 0); }
};

TEST_P(SplitRuns, EqualTheTaskOracleForTheUNet) {
  const auto graph = small_unet(2, 8);
  for (const char* strategy : {"whole", "d:2", "d:4", "d:2 h:2", "k:2 c:2", "n:2 d:2 k:2", "auto"})
    expect_run_of_oracle(session, graph, strategy);
}

TEST_P(SplitRuns, EqualTheTaskOracleForTheClassifier) {
  const auto graph = small_classifier(3);
  for (const char* strategy : {"whole", "n:2", "h:8", "h:2 w:2", "channel"})
    expect_run_of_oracle(session, graph, strategy);
}

TEST_P(SplitRuns, EqualTheTaskOracleForTheMlp) {
  const auto graph = small_mlp(5);
  for (const char* strategy : {"whole", "n:3", "k:2", "tensor"})
    expect_run_of_oracle(session, graph, strategy);
}

TEST_P(SplitRuns, EqualTheTaskOracleWhereResultsAreComputedTwice) {
  const auto graph = small_chain(4);
  for (const char* strategy : {"whole", "n:2", "h:2 w:2"})
    expect_run_of_oracle(session, recomputing_tasks_for(session, graph, strategy));
}

INSTANTIATE_TEST_SUITE_P(SchedulersAndWorkers, SplitRuns,
                         testing::Values(Setting{"lws", 1}, Setting{"lws", 2}, Setting{"lws", 4},
                                         Setting{"dmda", 1}, Setting{"dmda", 2}, Setting{"dmda", 4},
                                         Setting{"dmdas", 1}, Setting{"dmdas", 2},
                                         Setting{"dmdas", 4}, Setting{"prio", 1},
                                         Setting{"prio", 2}, Setting{"prio", 4}),
                         [](const auto& info) {
                           return std::string(info.param.scheduler) + "_" +
                                  std::to_string(info.param.workers);
                         });

}  // namespace
}  // namespace hpdlf::test
