// Ctrl-C and SIGTERM: the first asks for a clean stop after the current step, the second ends the process at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <csignal>

namespace hpdlf {

/// Installs the handlers while it lives; one at a time. The former handlers come back afterwards.
/// First signal: requested() turns true and one line on standard error says what happens. Second: _exit(130).
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// True once a signal came; any thread may ask.
  [[nodiscard]] static bool requested() noexcept;

 private:
  struct sigaction old_interrupt_ {
  }, old_terminate_{};
};

/// Exit status of a process that a person stopped, as shells report SIGINT.
inline constexpr int kInterruptedExitCode = 130;

}  // namespace hpdlf
