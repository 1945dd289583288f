#include "base/interrupt.hpp"

#include <atomic>
#include <cerrno>
#include <string_view>
#include <unistd.h>

#include "base/error.hpp"

namespace hpdlf {
namespace {

// Only lock-free atomics and write(2) are allowed inside a signal handler.
std::atomic<int> signals_seen{0};
std::atomic<bool> installed{false};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int /*signal*/) {
  if (signals_seen.fetch_add(1) > 0) ::_exit(kInterruptedExitCode);
  constexpr std::string_view kNotice =
      "\nstopping after this step, then saving; once more ends at once without saving\n";
  const int saved_errno = errno;
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kNotice.data(), kNotice.size());
  errno = saved_errno;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  HPDLF_ASSERT(!installed.exchange(true), "two InterruptGuards at once");
  signals_seen = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // reads and writes of other threads go on
  ::sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &former_[i]);
}

InterruptGuard::~InterruptGuard() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &former_[i], nullptr);
  signals_seen = 0;
  installed = false;
}

bool InterruptGuard::requested() noexcept {
  return signals_seen.load(std::memory_order_relaxed) > 0;
}

}  // namespace hpdlf
