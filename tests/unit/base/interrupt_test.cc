// The first signal asks, the second ends; without a guard nothing changes.
#include "base/interrupt.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace hpdlf {
namespace {

TEST(Interrupt, RequestsAStopOnTheFirstSignalOfAnyKind) {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
    const InterruptGuard guard;
    EXPECT_FALSE(InterruptGuard::requested());

    testing::internal::CaptureStderr();
    std::raise(signal);

    EXPECT_TRUE(InterruptGuard::requested());
    EXPECT_NE(testing::internal::GetCapturedStderr().find("stopping after this step"),
              std::string::npos);
  }
  EXPECT_FALSE(InterruptGuard::requested());
}

TEST(InterruptDeathTest, EndsAtOnceOnTheSecondSignal) {
  EXPECT_EXIT(
      {
        const InterruptGuard guard;
        std::raise(SIGINT);
        std::raise(SIGTERM);
      },
      testing::ExitedWithCode(kInterruptedExitCode), "stopping after this step");
}

TEST(Interrupt, PutsTheFormerHandlersBack) {
  static int former = 0;
  const auto old = std::signal(SIGTERM, [](int) { ++former; });
  { const InterruptGuard guard; }

  std::raise(SIGTERM);
  std::signal(SIGTERM, old);

  EXPECT_EQ(former, 1);
}

TEST(Interrupt, RejectsASecondGuard) {
  const InterruptGuard guard;
  EXPECT_THROW(InterruptGuard second, InternalError);
}

}  // namespace
}  // namespace hpdlf
