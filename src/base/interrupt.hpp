// Ctrl-C, SIGTERM and SIGUSR1: the first asks for a clean stop after the current step, the second ends the process at once.
//
// SIGUSR1 is for ranks: of the three it is the one that mpirun passes on without killing them soon after.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
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
  static constexpr std::array kSignals = {SIGINT, SIGTERM, SIGUSR1};
  std::array<struct sigaction, kSignals.size()> former_{};
};

/// Exit status of a process that a person stopped, as shells report SIGINT.
inline constexpr int kInterruptedExitCode = 130;

}  // namespace hpdlf
