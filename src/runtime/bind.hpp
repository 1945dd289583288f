// A task graph bound to StarPU: everything a step's submission needs, made once.
//
// Each tile that this rank touches becomes a handle (home node -1: memory comes with the first writer and goes with the last
// reader), each task of this rank a TaskRecord with its kernel, views and estimate, and the rank's share of the graph a list of
// commands in the graph's order. Decides nothing: owners, order and priorities are the task graph's.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "codelets/starpu_codelet.hpp"
#include "partition/cost_model.hpp"
#include "partition/task_graph.hpp"
#include "runtime/session_impl.hpp"

namespace hpdlf::runtime {

/// The next thing to submit; `index` is into records(), transfers() or the tiles.
struct Command {
  enum class Kind : std::uint8_t { run, send, receive, release } kind;
  std::int32_t index;
};

struct BoundTransfer {
  starpu_data_handle_t handle;
  int peer;
  std::int64_t tag;
  int priority;
};

/// A whole tensor of the host that tasks read (fed) or write (fetched) a part of; index into StepTasks::host.
struct HostSlot {
  graph::ValueId value;
  bool fetched;
};

class BoundGraph {
 public:
  /// All ranks make theirs at the same time.
  /// @throws Error listing every operator without a kernel; Error if a transfer is 2 GiB or more, or if the ranks have different graphs.
  BoundGraph(Session::Impl& session, std::shared_ptr<const partition::TaskGraph> graph,
             const partition::CostModel& model);
  /// Nothing submitted may be left.
  ~BoundGraph();
  BoundGraph(const BoundGraph&) = delete;
  BoundGraph& operator=(const BoundGraph&) = delete;

  [[nodiscard]] const partition::TaskGraph& graph() const { return *graph_; }
  [[nodiscard]] const std::vector<Command>& program() const { return program_; }
  [[nodiscard]] const std::vector<codelets::TaskRecord>& records() const { return records_; }
  [[nodiscard]] const std::vector<BoundTransfer>& transfers() const { return transfers_; }
  [[nodiscard]] const std::vector<HostSlot>& host_slots() const { return host_slots_; }
  /// nullptr if this rank does not touch the tile.
  [[nodiscard]] starpu_data_handle_t handle(partition::TileId tile) const {
    return handles_[static_cast<std::size_t>(tile)];
  }
  /// Bytes of workspace that the most demanding kernel needs.
  [[nodiscard]] std::size_t workspace_bytes() const { return workspace_bytes_; }
  [[nodiscard]] int fetch_count() const { return fetch_count_; }

 private:
  /// Binds nothing yet; the public constructor delegates to it, so that the destructor cleans up when binding throws.
  BoundGraph(Session::Impl& session, std::shared_ptr<const partition::TaskGraph> graph);
  void bind_task(partition::TaskId id, const partition::CostModel& model,
                 std::vector<std::string>& missing);
  void bind_transfer(const partition::Task& task, std::int64_t tag);
  void bind_operands(const partition::Task& task, codelets::TaskRecord& record);
  void bind_host_operand(const partition::Task& task, codelets::TaskRecord& record);
  void select_kernel(const partition::Task& task, codelets::TaskRecord& record,
                     std::vector<std::string>& missing);
  void release_tiles(const std::vector<partition::TileId>& tiles);
  starpu_data_access_mode access_mode(const partition::Task& task, const partition::Access& access);
  starpu_data_handle_t require_handle(partition::TileId tile);
  int host_slot(graph::ValueId value, bool fetched);

  Session::Impl& session_;
  std::shared_ptr<const partition::TaskGraph> graph_;
  std::vector<starpu_data_handle_t> handles_;
  std::vector<bool> written_;  ///< while binding: the tile has content at this point of the step
  std::vector<codelets::TaskRecord> records_;
  std::vector<BoundTransfer> transfers_;
  std::vector<Command> program_;
  std::vector<HostSlot> host_slots_;
  std::int64_t first_tag_ = -1;
  std::size_t workspace_bytes_ = 0;
  int fetch_count_ = 0;
};

/// The part `view` of a dense row-major buffer that holds the box `storage` of a tensor of extents `whole`.
[[nodiscard]] codelets::BoundOperand operand_of(DType dtype, const Box& storage,
                                                const Extents& whole, const Box& view);

}  // namespace hpdlf::runtime
