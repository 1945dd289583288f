// Other ranks: MPI and StarPU-MPI behind one class, usable in a build without MPI and in a process that no launcher started.
//
// Transfers are StarPU-MPI's detached point-to-point calls on handles: submitted like tasks, ordered by data dependences. What is
// not a task (barrier, gathering a parameter) uses a communicator of its own and happens between steps only.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <starpu.h>
#include <string>
#include <vector>

namespace hpdlf::runtime {

/// Version of the MPI library; empty if this build has none.
[[nodiscard]] std::string mpi_version();

class Comm {
 public:
  /// Starts StarPU, and MPI if `with_mpi`. MPI stays up until the process ends, as it cannot start twice.
  /// @throws LibraryError if one of them refuses; NotCompiled if MPI is asked for and was not found at build time.
  Comm(starpu_conf& conf, bool with_mpi);
  ~Comm();
  Comm(const Comm&) = delete;
  Comm& operator=(const Comm&) = delete;

  /// Session::from_first_rank(). Starts MPI if a launcher started this process.
  [[nodiscard]] static std::string from_first_rank(const std::function<std::string()>& make);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] bool has_mpi() const { return has_mpi_; }
  void barrier();
  /// Ends every rank at once.
  [[noreturn]] void abort(int exit_code);
  /// Session::end_others().
  static void end_others(int exit_code);

  /// `count` consecutive tags that nobody else uses; the same on all ranks if all ask in the same order.
  [[nodiscard]] std::int64_t allocate_tags(std::int64_t count);
  void free_tags(std::int64_t first);
  /// Submits the transfer of a handle's content. < 2 GiB, as StarPU-MPI counts bytes in an int.
  void send(starpu_data_handle_t handle, int to, std::int64_t tag, int priority);
  void receive(starpu_data_handle_t handle, int from, std::int64_t tag, int priority);
  /// Blocks until no task and no transfer of this rank is under way.
  void drain();
  /// Bitwise or over the ranks, to rank `to` (all if -1): puts together what each holds a part of, zeros elsewhere.
  void combine(std::span<std::byte> bytes, int to);
  /// What each rank gives, in their order, on every rank. Blocks until all give theirs.
  [[nodiscard]] std::vector<std::int64_t> gather(std::int64_t mine);

 private:
  bool has_mpi_ = false;
  int rank_ = 0, ranks_ = 1;
};

}  // namespace hpdlf::runtime
