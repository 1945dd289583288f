// StarPU (and MPI) of this process, from start to shutdown.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace hpdlf::runtime {

/// Ready tasks of all workers in one queue, by priority: what the simulator predicts. Right where all workers are alike.
inline constexpr const char* kDefaultScheduler = "prio";

struct SessionOptions {
  int cpu_workers = -1;  ///< -1: one a core that the process may use; STARPU_NCPU overrides
  std::string scheduler = kDefaultScheduler;  ///< STARPU_SCHED overrides
  std::string trace_dir;                      ///< FxT trace goes there if not empty
};

/// One at a time a process. MPI is initialised only under an MPI launcher (mpirun): rank() == 0, ranks() == 1 otherwise.
class Session {
 public:
  /// @throws LibraryError if StarPU or MPI does not start; Error naming the scheduler if there is no such one.
  explicit Session(const SessionOptions& options = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] int rank() const;
  [[nodiscard]] int ranks() const;
  [[nodiscard]] int cpu_workers() const;
  [[nodiscard]] std::string scheduler() const;
  [[nodiscard]] bool has_mpi() const;
  /// Handles registered and not yet unregistered by executors of this process (tests assert 0 at the end).
  [[nodiscard]] static std::int64_t live_handles();
  /// Ends every rank at once; never returns. With several ranks an error that ends the program must be caught, reported and passed
  /// here while the session lives: destroying it waits for the others.
  [[noreturn]] void abort_all(int exit_code);
  /// For a program that ends on an error without a session: ends every rank at once where MPI has been started for several, as the end of
  /// this one alone would wait for them. Else it returns.
  static void end_others(int exit_code);
  /// Blocks until all ranks are here. Outside steps only.
  void barrier();
  /// True on every rank if `value` is true on any: what ranks must decide alike. Blocks until all ranks ask.
  [[nodiscard]] bool any(bool value);
  /// What `make` gives on the first rank, on all: only there it is called, once all ranks are here. Needs no session: it may choose
  /// what one is started with, or use what all have left. @throws on every rank what `make` throws.
  [[nodiscard]] static std::string from_first_rank(const std::function<std::string()>& make);
  /// The least that any rank gives, on every rank. Blocks until all ranks ask.
  [[nodiscard]] std::int64_t least(std::int64_t value);

  struct Impl;
  /// For the runtime's own files.
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// Versions and features for `hpdlf doctor`.
struct RuntimeReport {
  std::string starpu_version;
  bool fxt = false, mpi = false, simgrid = false;
  std::string mpi_version;
  int cores = 0;
};
[[nodiscard]] RuntimeReport runtime_report();

}  // namespace hpdlf::runtime
