#include "runtime/bind.hpp"

#include <algorithm>
#include <cctype>
#include <limits>
#include <set>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "runtime/trace.hpp"

namespace hpdlf::runtime {
namespace {

using codelets::BoundOperand;
using codelets::TaskRecord;
using partition::Access;
using partition::Task;
using partition::Tile;
using partition::TileId;

bool is_feed(const Task& task) { return task.op == "Feed"; }
bool is_fetch(const Task& task) { return task.op == "Fetch"; }
bool is_transfer(const Task& task) { return task.op == "Transfer"; }

/// Feed and Fetch copy between a tile and the host.
std::string_view kernel_name(const Task& task) {
  return is_feed(task) || is_fetch(task) ? "Copy" : task.op;
}

/// A lower bound that StarPU's schedulers need: 0 would make them ignore the model.
constexpr double kLeastEstimateUs = 0.5;

/// Plan workers -> StarPU worker ids; a plan for more workers than there are wraps around.
std::vector<std::uint32_t> worker_bits(std::int64_t mask, const std::vector<int>& cpu_worker_ids) {
  if (mask == -1) return {};
  std::vector<std::uint32_t> bits(STARPU_NMAXWORKERS / 32 + 1, 0);
  for (int i = 0; i < 64; ++i)
    if ((mask >> i & 1) != 0) {
      const auto id = static_cast<std::size_t>(
          cpu_worker_ids[static_cast<std::size_t>(i) % cpu_worker_ids.size()]);
      bits[id / 32] |= 1U << (id % 32);
    }
  return bits;
}

/// "Copy of enc0.conv1" -> "Copy_of_enc0.conv1"
std::string one_word(std::string name) {
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 &&
        std::string_view("._-:/").find(c) == std::string_view::npos)
      c = '_';
  return name;
}

const Attrs kNoAttrs;

std::int64_t fingerprint(const partition::TaskGraph& graph) {
  Hash hash;
  hash.add(print(graph));
  for (const Task& task : graph.tasks) hash.add(task.op);  // a kernel is printed as its node
  return static_cast<std::int64_t>(hash.value());
}

/// Ranks that run different task graphs would wait for each other for ever. Collective.
void check_alike(Comm& comm, const partition::TaskGraph& graph) {
  if (comm.ranks() == 1) return;
  const std::vector<std::int64_t> all = comm.gather(fingerprint(graph));
  const auto other = std::ranges::find_if(all, [&](auto found) { return found != all.front(); });
  if (other == all.end()) return;
  throw Error(fmt::format("rank {} and rank 0 made different task graphs; all ranks must run the "
                          "same one (rank {}: {} tasks for {} ranks)",
                          other - all.begin(), comm.rank(), graph.tasks.size(), graph.ranks),
              "give every rank the same program, configuration and data");
}

}  // namespace

BoundOperand operand_of(DType dtype, const Box& storage, const Extents& whole, const Box& view) {
  HPDLF_ASSERT(storage.contains(view), "view {} leaves the storage {}", to_string(view),
               to_string(storage));
  BoundOperand operand;
  operand.view = {nullptr, dtype, view.extents(), dense_strides(storage.extents()), view.lo, whole};
  std::int64_t elements = 0;
  for (int i = 0; i < view.rank(); ++i)
    elements += (view.lo[i] - storage.lo[i]) * operand.view.strides[i];
  operand.offset = elements * static_cast<std::int64_t>(size_of(dtype));
  return operand;
}

BoundGraph::BoundGraph(Session::Impl& session, std::shared_ptr<const partition::TaskGraph> graph)
    : session_(session),
      graph_(std::move(graph)),
      handles_(graph_->tiles.size()),
      written_(graph_->tiles.size()) {}

BoundGraph::BoundGraph(Session::Impl& session, std::shared_ptr<const partition::TaskGraph> graph,
                       const partition::CostModel& model)
    : BoundGraph(session, std::move(graph)) {
  const auto& tasks = graph_->tasks;
  HPDLF_CHECK(graph_->ranks == session_.comm->ranks(),
              "the task graph was made for {} rank(s), this run has {}", graph_->ranks,
              session_.comm->ranks());
  check_alike(*session_.comm, *graph_);
  for (std::size_t i = 0; i < graph_->tiles.size(); ++i)
    written_[i] = graph_->tiles[i].is_persistent();
  const int rank = session_.comm->rank();
  first_tag_ = session_.comm->allocate_tags(std::count_if(tasks.begin(), tasks.end(), is_transfer));
  records_.reserve(
      static_cast<std::size_t>(std::count_if(tasks.begin(), tasks.end(), [&](const Task& t) {
        return t.rank == rank && !is_transfer(t);
      })));
  std::int64_t tag = first_tag_;
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (is_transfer(tasks[i]))
      bind_transfer(tasks[i], tag++);
    else if (tasks[i].rank == rank)
      bind_task(static_cast<partition::TaskId>(i), model, missing);
    release_tiles(graph_->released_after[i]);
  }
  // Parameters that no task of this step touches can still be read and written.
  for (std::size_t i = 0; i < graph_->tiles.size(); ++i)
    if (graph_->tiles[i].is_persistent() && graph_->tiles[i].owner == rank)
      require_handle(static_cast<TileId>(i));
  if (missing.empty()) return;
  std::string list;
  for (const auto& line : std::set(missing.begin(), missing.end())) list += "\n  " + line;
  throw Error("the task graph cannot run on this machine:" + list);
}

BoundGraph::~BoundGraph() {
  for (const auto handle : handles_)
    if (handle != nullptr) {
      starpu_data_unregister_no_coherency(handle);
      count_handles(-1);
    }
  session_.comm->free_tags(first_tag_);
}

starpu_data_handle_t BoundGraph::require_handle(TileId id) {
  starpu_data_handle_t& handle = handles_[static_cast<std::size_t>(id)];
  if (handle != nullptr) return handle;
  const Tile& tile = graph_->tile(id);
  starpu_variable_data_register(&handle, /*home_node=*/-1, 0,
                                static_cast<std::size_t>(std::max<std::int64_t>(tile.bytes(), 1)));
  count_handles(+1);
  if (tile.value != graph::kNone)
    starpu_data_set_name(handle, graph_->graph->value(tile.value).name.c_str());
  if (tile.box.rank() > 0) {  // StarPU's trace reads the first coordinate of a scalar, too
    std::vector<int> corner(tile.box.lo.begin(), tile.box.lo.end());
    starpu_data_set_coordinates_array(handle, static_cast<unsigned>(corner.size()), corner.data());
  }
  return handle;
}

void BoundGraph::bind_transfer(const Task& task, std::int64_t tag) {
  const int rank = session_.comm->rank();
  const TileId from = task.access[0].tile;
  const TileId to = task.access[1].tile;
  written_[static_cast<std::size_t>(to)] = true;
  if (rank != task.rank && rank != task.to_rank) return;
  const Tile& tile = graph_->tile(from);
  HPDLF_CHECK(tile.bytes() < std::numeric_limits<std::int32_t>::max(),
              "{}: a tile of {} MiB is sent to another rank, at most 2047 MiB are possible: cut it "
              "into more parts",
              graph_->describe(task), tile.bytes() >> 20);
  const bool sends = rank == task.rank;
  program_.push_back({sends ? Command::Kind::send : Command::Kind::receive,
                      static_cast<std::int32_t>(transfers_.size())});
  transfers_.push_back(
      {require_handle(sends ? from : to), sends ? task.to_rank : task.rank, tag, task.priority});
}

void BoundGraph::bind_task(partition::TaskId id, const partition::CostModel& model,
                           std::vector<std::string>& missing) {
  const Task& task = graph_->tasks[static_cast<std::size_t>(id)];
  TaskRecord record;
  record.task = id;
  record.slot = static_cast<int>(records_.size());
  record.attrs = task.attrs != nullptr ? task.attrs : &kNoAttrs;
  record.inputs = is_feed(task) ? 1 : task.inputs;  // the host's tensor counts
  record.accumulate = task.accumulate;
  record.is_fetch = is_fetch(task);
  record.estimate_us = std::max(kLeastEstimateUs, 1e6 * model.seconds(task));
  record.codelet = session_.codelets.get(task.op);
  record.name = one_word(graph_->describe(task));
  record.flops = task.cost.flops;
  record.color = task_color(task);
  record.priority = task.priority;
  record.workers = worker_bits(task.workers, session_.cpu_worker_ids);
  if (is_feed(task)) bind_host_operand(task, record);
  bind_operands(task, record);
  if (is_fetch(task)) bind_host_operand(task, record);
  select_kernel(task, record, missing);
  fetch_count_ += record.is_fetch ? 1 : 0;
  program_.push_back({Command::Kind::run, record.slot});
  records_.push_back(std::move(record));
}

/// StarPU must see each handle once a task: a tile that is read and written, or read twice, becomes one buffer.
void BoundGraph::bind_operands(const Task& task, TaskRecord& record) {
  std::vector<TileId> tiles;
  for (const Access& access : task.access) {
    const Tile& tile = graph_->tile(access.tile);
    BoundOperand operand = operand_of(tile.dtype, tile.storage,
                                      graph_->graph->value(tile.value).type.extents, access.view);
    const auto mode = access_mode(task, access);
    const auto known = std::find(tiles.begin(), tiles.end(), access.tile);
    operand.buffer = static_cast<int>(known - tiles.begin());
    if (known == tiles.end()) {
      tiles.push_back(access.tile);
      record.handles.push_back(require_handle(access.tile));
      record.modes.push_back(mode);
    } else {
      auto& merged = record.modes[static_cast<std::size_t>(operand.buffer)];
      merged = static_cast<starpu_data_access_mode>(merged | mode);
    }
    record.operands.push_back(operand);
  }
  if (task.after >= 0 && std::find(tiles.begin(), tiles.end(), task.after) == tiles.end()) {
    record.handles.push_back(require_handle(task.after));  // no operand: waiting is all
    record.modes.push_back(STARPU_R);
  }
  for (const Access& access : task.access)
    if (access.mode != Access::Mode::read) written_[static_cast<std::size_t>(access.tile)] = true;
}

/// A first write allocates the tile (W); a later one that leaves some of it standing must keep it (RW).
starpu_data_access_mode BoundGraph::access_mode(const Task& task, const Access& access) {
  const Tile& tile = graph_->tile(access.tile);
  const bool has_content = written_[static_cast<std::size_t>(access.tile)];
  HPDLF_ASSERT(has_content || access.mode != Access::Mode::read,
               "{} reads a tile that nothing has written", graph_->describe(task));
  if (access.mode == Access::Mode::read) return STARPU_R;
  const bool whole = access.mode == Access::Mode::write && access.view == tile.storage;
  return has_content && !whole ? STARPU_RW : STARPU_W;
}

void BoundGraph::bind_host_operand(const Task& task, TaskRecord& record) {
  const auto& type = graph_->graph->value(task.value).type;
  BoundOperand operand =
      operand_of(type.dtype, Box::whole(type.extents), type.extents, task.access[0].view);
  operand.host = host_slot(task.value, is_fetch(task));
  record.operands.push_back(operand);
}

int BoundGraph::host_slot(graph::ValueId value, bool fetched) {
  const auto known = std::find_if(
      host_slots_.begin(), host_slots_.end(),
      [&](const HostSlot& slot) { return slot.value == value && slot.fetched == fetched; });
  const int index = static_cast<int>(known - host_slots_.begin());
  if (known == host_slots_.end()) host_slots_.push_back({value, fetched});
  return index;
}

void BoundGraph::select_kernel(const Task& task, TaskRecord& record,
                               std::vector<std::string>& missing) {
  std::vector<TensorView> views;
  const codelets::KernelArgs args = shape_args(record, views);
  try {
    record.kernel = &codelets::kernel_registry().select(kernel_name(task), "cpu", args);
  } catch (const Error& error) {
    missing.push_back(fmt::format("{}: {}", graph_->describe(task), error.message()));
    return;
  }
  if (record.kernel->workspace != nullptr)
    workspace_bytes_ = std::max(workspace_bytes_, record.kernel->workspace(args));
}

void BoundGraph::release_tiles(const std::vector<TileId>& tiles) {
  for (const TileId tile : tiles) {
    written_[static_cast<std::size_t>(tile)] = false;
    if (handle(tile) != nullptr) program_.push_back({Command::Kind::release, tile});
  }
}

}  // namespace hpdlf::runtime
