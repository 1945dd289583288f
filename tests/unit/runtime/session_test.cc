#include "runtime/session.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <gmock/gmock.h>
#include <thread>

#include "base/error.hpp"
#include "runtime/paused_workers.hpp"
#include "support/environment.hpp"

namespace hpdlf::runtime {
namespace {

using test::Environment;
using testing::HasSubstr;

TEST(Session, GivesTheWorkersAndTheSchedulerThatWereAskedFor) {
  const Session session({.cpu_workers = 2, .scheduler = "dmda"});

  EXPECT_EQ(session.cpu_workers(), 2);
  EXPECT_EQ(session.scheduler(), "dmda");
  EXPECT_EQ(session.rank(), 0);
  EXPECT_EQ(session.ranks(), 1);
}

TEST(Session, UsesOneQueueOnAllCoresByDefault) {
  const Session session;

  EXPECT_GE(session.cpu_workers(), 1);
  EXPECT_EQ(session.scheduler(), "prio");
}

TEST(Session, MoreWorkersThanCoresAreStarted) {
  const Session session({.cpu_workers = 4});

  EXPECT_EQ(session.cpu_workers(), 4);
}

TEST(Session, TheEnvironmentOverridesWhatTheProgramAsksFor) {
  const Environment scheduler("STARPU_SCHED", "lws");
  const Environment workers("STARPU_NCPU", "1");

  const Session session({.cpu_workers = 2, .scheduler = "dmda"});

  EXPECT_EQ(session.cpu_workers(), 1);
  EXPECT_EQ(session.scheduler(), "lws");
}

TEST(Session, ListsTheSchedulersIfThereIsNoSuchOne) {
  std::string message;
  try {
    const Session session({.scheduler = "dmdaz"});
  } catch (const Error& error) {
    message = error.what();
  }

  EXPECT_THAT(message, HasSubstr("there is no scheduler `dmdaz`"));
  EXPECT_THAT(message, HasSubstr("dmdas"));
  EXPECT_THAT(message, HasSubstr("lws"));
}

TEST(Session, SaysThatNoWorkerIsLeft) {
  const Environment workers("STARPU_NCPU", "0");

  EXPECT_THROW(Session(), LibraryError);
}

TEST(Session, RefusesASecondOneBesideIt) {
  const Session session;

  EXPECT_THROW(Session(), Error);
}

TEST(Session, StartsAgainInLessThanASecond) {
  { const Session first; }  // writes StarPU's files of the machine, once

  double best = 1e9;  // of a few: other programs may hold the cores
  for (int attempt = 0; attempt < 5 && best >= 1; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    { const Session again; }
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }

  EXPECT_LT(best, 1.0);
}

TEST(RuntimeReport, NamesTheVersionsInUse) {
  const RuntimeReport report = runtime_report();

  EXPECT_THAT(report.starpu_version, testing::StartsWith("1."));
  EXPECT_GE(report.cores, 1);
  EXPECT_EQ(report.mpi, !report.mpi_version.empty());
}

/// Seconds that all threads of this process compute while the calling one sleeps for a tenth of a second.
double busy_seconds() {
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const double begin = now();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  return now() - begin;
}

TEST(PausedWorkers, LeaveTheCoresToOthersUntilTheLastPauseEnds) {
  const Session session({.cpu_workers = 2});
  {
    const PausedWorkers outer;
    { const PausedWorkers inner; }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // they notice at their next poll
    EXPECT_LT(busy_seconds(), 0.02);
  }
  double most = 0;  // other programs may hold the cores for a while
  for (int attempt = 0; attempt < 20 && most < 0.03; ++attempt)
    most = std::max(most, busy_seconds());
  EXPECT_GT(most, 0.03) << "they poll again";
}

TEST(PausedWorkers, NeedNoSession) {
  const PausedWorkers paused;
  EXPECT_LT(busy_seconds(), 0.02);
}

}  // namespace
}  // namespace hpdlf::runtime
