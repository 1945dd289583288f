// What ran when: a Chrome/Perfetto trace from our own task times, and StarPU's FxT trace converted for ViTE.
//
// Both carry layer names, phases, steps and tile coordinates, coloured by phase. docs/tracing.md shows how to read them.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "partition/task_graph.hpp"
#include "runtime/executor.hpp"

namespace hpdlf::runtime {

/// 0xRRGGBB: the phase's colour, lighter for tasks that move memory rather than compute.
[[nodiscard]] unsigned task_color(const partition::Task& task);

/// Collects the task times of some steps and writes them as Chrome trace events, which chrome://tracing and ui.perfetto.dev open.
class ChromeTrace {
 public:
  ChromeTrace(std::shared_ptr<const partition::TaskGraph> graph, int rank);
  void add_step(std::int64_t step, std::span<const TaskTime> times);
  [[nodiscard]] bool is_empty() const { return events_.empty(); }
  /// @throws Error if the file cannot be written.
  void write(const std::filesystem::path& path) const;

 private:
  std::shared_ptr<const partition::TaskGraph> graph_;
  int rank_;
  int workers_ = 0;
  std::string events_;
};

/// Converts the FxT files in `dir` (SessionOptions::trace_dir; after the session has ended) to dir/paje.trace for ViTE, with dag.dot
/// and the rest of what starpu_fxt_tool writes beside it. Returns the path of paje.trace.
/// @throws Error if there is no FxT file; NotCompiled if starpu_fxt_tool is missing; LibraryError if it fails.
std::filesystem::path convert_fxt(const std::filesystem::path& dir);

}  // namespace hpdlf::runtime
