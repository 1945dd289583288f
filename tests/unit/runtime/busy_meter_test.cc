// The shares of workers, on times written by hand (microseconds).
#include "runtime/busy_meter.hpp"

#include <gmock/gmock.h>

namespace hpdlf::runtime {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;

TaskTime on(int worker, double start_us, double end_us) {
  return {.task = 0, .worker = worker, .start_us = start_us, .end_us = end_us};
}

TEST(BusyMeter, IsZeroForEveryWorkerBeforeTheFirstStep) {
  EXPECT_THAT(BusyMeter(2).shares(), ElementsAre(0, 0));
}

TEST(BusyMeter, CountsTheTimeInTasksBetweenFirstStartAndLastEnd) {
  BusyMeter meter(3);

  meter.add_step(std::vector{on(0, 100, 150), on(0, 160, 200), on(1, 120, 170)});

  EXPECT_THAT(meter.shares(), ElementsAre(DoubleEq(0.9), DoubleEq(0.5), 0));
}

TEST(BusyMeter, CountsTheHeadOfTheNextStepWhereTheStepsOverlap) {
  BusyMeter meter(1);

  meter.add_step(std::vector{on(0, 0, 60), on(0, 90, 100)});  // alone: 0.7
  meter.add_step(
      std::vector{on(0, 60, 80), on(0, 100, 150)});  // its own: 100 to 150, all of it busy
  meter.add_step(std::vector{on(0, 150, 200), on(0, 220, 250)});  // 150 to 250, 0.8 of it

  // 0.9, 1.0, 0.8
  EXPECT_THAT(meter.shares(), ElementsAre(DoubleEq(0.9)));
}

TEST(BusyMeter, LeavesPausesBetweenStepsOut) {
  BusyMeter meter(1);

  for (const double start : {0.0, 1e6, 2e6}) meter.add_step(std::vector{on(0, start, start + 10)});

  EXPECT_THAT(meter.shares(), ElementsAre(DoubleEq(1)));
}

}  // namespace
}  // namespace hpdlf::runtime
