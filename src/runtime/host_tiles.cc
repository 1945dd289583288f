#include "runtime/host_tiles.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "graph/initialize.hpp"

namespace hpdlf::runtime {
namespace {

using partition::Tile;
using partition::TileId;

/// A tile's content in RAM for the life of this object.
class TileAccess {
 public:
  TileAccess(const BoundGraph& bound, TileId id, starpu_data_access_mode mode)
      : tile_(bound.graph().tile(id)),
        whole_(bound.graph().graph->value(tile_.value).type.extents),
        handle_(bound.handle(id)) {
    const int code = starpu_data_acquire(handle_, mode);
    HPDLF_ASSERT(code == 0, "starpu_data_acquire returned {}", code);
  }
  ~TileAccess() { starpu_data_release(handle_); }
  TileAccess(const TileAccess&) = delete;
  TileAccess& operator=(const TileAccess&) = delete;

  [[nodiscard]] void* data() const { return starpu_data_get_local_ptr(handle_); }
  [[nodiscard]] TensorView view(const Box& box) const {
    auto [view, offset, buffer, host] = operand_of(tile_.dtype, tile_.storage, whole_, box);
    view.data = static_cast<std::byte*>(data()) + offset;
    return view;
  }

 private:
  const Tile& tile_;
  const Extents& whole_;
  starpu_data_handle_t handle_;
};

void copy(const TensorView& from, const TensorView& to) {
  codelets::KernelArgs args;
  args.inputs = std::span(&from, 1);
  args.outputs = std::span(&to, 1);
  const Attrs none;
  args.attrs = &none;
  codelets::kernel_registry().select("Copy", "cpu", args).run(args);
}

/// Calls visit(id) for every persistent tile that this rank holds.
template <class Visit>
void for_each_persistent(const BoundGraph& bound, const Visit& visit) {
  const auto& tiles = bound.graph().tiles;
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    const auto id = static_cast<TileId>(i);
    if (tiles[i].is_persistent() && bound.handle(id) != nullptr) visit(id);
  }
}

TensorView whole_view(const HostTensor& tensor) {
  // Views carry one pointer type for inputs and outputs.
  return TensorView::dense(const_cast<std::byte*>(tensor.data.data()), tensor.type.dtype,
                           tensor.type.extents);
}

/// What a task that initialises a tile is given.
struct Initialisation {
  const graph::Value* value;
  const Box* region;
  std::uint64_t seed;
  codelets::FailureLatch* latch;
};

void initialise(void** buffers, void* cl_arg) noexcept {
  Initialisation job;
  starpu_codelet_unpack_args(cl_arg, &job);
  try {
    graph::fill_initial(*job.value, job.seed, *job.region, codelets::address_of(buffers[0]));
  } catch (...) {
    job.latch->set(-1, std::current_exception());
  }
}

/// StarPU keeps a pointer to it.
starpu_codelet& initialise_codelet() {
  static starpu_codelet codelet = [] {
    starpu_codelet c;
    starpu_codelet_init(&c);
    c.cpu_funcs[0] = initialise;
    c.nbuffers = 1;
    c.modes[0] = STARPU_W;
    c.name = "Initialise";
    return c;
  }();
  return codelet;
}

}  // namespace

void submit_initial_tiles(const BoundGraph& bound, std::uint64_t seed,
                          codelets::FailureLatch& latch) {
  const graph::Graph& graph = *bound.graph().graph;
  for_each_persistent(bound, [&](TileId id) {
    const Tile& tile = bound.graph().tile(id);
    const graph::Value& value = graph.value(tile.value);
    if (value.role == graph::Role::constant) {
      const TileAccess access(bound, id, STARPU_W);
      const TensorView content = TensorView::dense(const_cast<std::byte*>(value.content.data()),
                                                   value.type.dtype, value.type.extents);
      copy(content.slice(tile.storage), access.view(tile.storage));
    } else {
      const Initialisation job{&value, &tile.storage, seed, &latch};
      const int code = starpu_task_insert(&initialise_codelet(), STARPU_VALUE, &job, sizeof job,
                                          STARPU_W, bound.handle(id), 0);
      HPDLF_ASSERT(code == 0, "starpu_task_insert returned {}", code);
    }
  });
}

void scatter(const BoundGraph& bound, graph::ValueId value, const HostTensor& content) {
  for_each_persistent(bound, [&](TileId id) {
    const Tile& tile = bound.graph().tile(id);
    if (tile.value != value) return;
    const TileAccess access(bound, id, STARPU_W);
    copy(whole_view(content).slice(tile.storage), access.view(tile.storage));
  });
}

std::shared_ptr<HostTensor> gather_own(const BoundGraph& bound, int rank, graph::ValueId value) {
  auto result = std::make_shared<HostTensor>(bound.graph().graph->value(value).type);
  for (const TileId id : bound.graph().home_tiles[static_cast<std::size_t>(value)]) {
    const Tile& tile = bound.graph().tile(id);
    if (tile.owner != rank) continue;
    const TileAccess access(bound, id, STARPU_R);
    copy(access.view(tile.box), whole_view(*result).slice(tile.box));
  }
  return result;
}

}  // namespace hpdlf::runtime
