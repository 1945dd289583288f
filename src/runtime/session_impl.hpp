// What the files of the runtime share of a session.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codelets/starpu_codelet.hpp"
#include "runtime/comm.hpp"
#include "runtime/session.hpp"

namespace hpdlf::runtime {

struct Session::Impl {
  explicit Impl(const SessionOptions& options);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// Makes every worker's workspace at least this large. No task may be running. @throws Error if memory is exhausted.
  void require_workspace(std::size_t bytes);

  std::shared_ptr<void> trace;        ///< settings of the FxT trace, until StarPU has shut down
  codelets::StarpuCodelets codelets;  // before comm: StarPU refers to them until it is shut down
  std::unique_ptr<Comm> comm;
  std::vector<int> cpu_worker_ids;
  std::vector<std::span<std::byte>> workspaces;  ///< by worker id
  std::string scheduler;
  std::int64_t start_ns = 0;  ///< steady_clock, origin of TaskTime
};

/// Counts a handle registered (+1) or unregistered (-1); Session::live_handles().
void count_handles(int change);

}  // namespace hpdlf::runtime
