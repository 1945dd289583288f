#include "runtime/comm.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>

#include "base/error.hpp"
#include "runtime/launch.hpp"

#ifdef HPDLF_WITH_MPI
#include <mpi.h>
#include <starpu_mpi.h>
#endif

namespace hpdlf::runtime {
namespace {

[[noreturn]] void starpu_refused(int code) {
  throw LibraryError(fmt::format("StarPU did not start: starpu_init returned {}", code),
                     code == -ENODEV ? "no worker is left: check STARPU_NCPU and the cores this "
                                       "process may use (taskset, cgroups)"
                                     : "HPDLF_LOG=debug shows what StarPU says");
}

}  // namespace

#ifdef HPDLF_WITH_MPI

namespace {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw LibraryError(fmt::format("{} failed with code {}: {}", call, code,
                                 std::string_view(text, static_cast<std::size_t>(length))));
}

/// Ours alone: StarPU-MPI's progress thread uses MPI_COMM_WORLD.
MPI_Comm control = MPI_COMM_NULL;

void start_mpi() {
  if (control != MPI_COMM_NULL) return;
  // Polling for messages gives way to the workers; what the user set stays.
  if (read_launch().local_ranks > 1) setenv("OMPI_MCA_mpi_yield_when_idle", "1", /*overwrite=*/0);
  int level = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &level), "MPI_Init_thread");
  if (level < MPI_THREAD_MULTIPLE)
    throw LibraryError(
        "this MPI library does not support MPI_THREAD_MULTIPLE, which StarPU-MPI's progress thread "
        "needs");
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &control), "MPI_Comm_dup");
  std::atexit([] { MPI_Finalize(); });
}

/// Makes `text` what it is on the first rank.
void broadcast(std::string& text) {
  std::uint64_t size = text.size();
  check_mpi(MPI_Bcast(&size, 1, MPI_UINT64_T, 0, control), "MPI_Bcast");
  text.resize(size);
  check_mpi(MPI_Bcast(text.data(), static_cast<int>(size), MPI_CHAR, 0, control), "MPI_Bcast");
}

}  // namespace

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);  // allowed before MPI_Init
  const std::string version(text, static_cast<std::size_t>(length));
  return version.substr(0, version.find_first_of(",\n"));
}

Comm::Comm(starpu_conf& conf, bool with_mpi) : has_mpi_(with_mpi) {
  if (!with_mpi) {
    if (const int code = starpu_init(&conf); code != 0) starpu_refused(code);
    return;
  }
  start_mpi();
  if (const int code =
          starpu_mpi_init_conf(nullptr, nullptr, /*initialize_mpi=*/0, MPI_COMM_WORLD, &conf);
      code != 0)
    starpu_refused(code);
  rank_ = starpu_mpi_world_rank();
  ranks_ = starpu_mpi_world_size();
}

Comm::~Comm() {
  if (has_mpi_)
    starpu_mpi_shutdown();
  else
    starpu_shutdown();
}

std::string Comm::from_first_rank(const std::function<std::string()>& make) {
  if (!read_launch().mpi) return make();
  start_mpi();
  check_mpi(MPI_Barrier(control), "MPI_Barrier");
  int rank = 0;
  check_mpi(MPI_Comm_rank(control, &rank), "MPI_Comm_rank");
  std::string text;
  std::string error;
  std::exception_ptr failure;
  try {
    if (rank == 0) text = make();
  } catch (const std::exception& e) {
    failure = std::current_exception();
    error = e.what();
  }
  broadcast(text);
  broadcast(error);
  if (failure) std::rethrow_exception(failure);
  if (!error.empty()) throw Error(error);
  return text;
}

void Comm::barrier() {
  if (ranks_ > 1) check_mpi(MPI_Barrier(control), "MPI_Barrier");
}

void Comm::abort(int exit_code) {
  if (has_mpi_) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

void Comm::end_others(int exit_code) {
  if (control == MPI_COMM_NULL) return;
  int ranks = 1;
  check_mpi(MPI_Comm_size(control, &ranks), "MPI_Comm_size");
  if (ranks > 1) MPI_Abort(MPI_COMM_WORLD, exit_code);
}

std::int64_t Comm::allocate_tags(std::int64_t count) {
  return count > 0 && has_mpi_ ? starpu_mpi_tags_allocate(count) : -1;
}

void Comm::free_tags(std::int64_t first) {
  if (first >= 0) starpu_mpi_tags_free(first);
}

void Comm::send(starpu_data_handle_t handle, int to, std::int64_t tag, int priority) {
  const int code =
      starpu_mpi_isend_detached_prio(handle, to, tag, priority, MPI_COMM_WORLD, nullptr, nullptr);
  HPDLF_ASSERT(code == 0, "starpu_mpi_isend_detached returned {}", code);
}

void Comm::receive(starpu_data_handle_t handle, int from, std::int64_t tag, int priority) {
  const int code =
      starpu_mpi_irecv_detached_prio(handle, from, tag, priority, MPI_COMM_WORLD, nullptr, nullptr);
  HPDLF_ASSERT(code == 0, "starpu_mpi_irecv_detached returned {}", code);
}

void Comm::drain() {
  if (has_mpi_)
    starpu_mpi_wait_for_all(MPI_COMM_WORLD);
  else
    starpu_task_wait_for_all();
}

void Comm::combine(std::span<std::byte> bytes, int to) {
  if (ranks_ == 1) return;
  constexpr std::size_t kChunk = std::size_t{1} << 30;  // MPI counts in an int
  for (std::size_t at = 0; at < bytes.size(); at += kChunk) {
    std::byte* part = bytes.data() + at;
    const int count = static_cast<int>(std::min(kChunk, bytes.size() - at));
    if (to < 0)
      check_mpi(MPI_Allreduce(MPI_IN_PLACE, part, count, MPI_BYTE, MPI_BOR, control),
                "MPI_Allreduce");
    else if (rank_ == to)
      check_mpi(MPI_Reduce(MPI_IN_PLACE, part, count, MPI_BYTE, MPI_BOR, to, control),
                "MPI_Reduce");
    else
      check_mpi(MPI_Reduce(part, nullptr, count, MPI_BYTE, MPI_BOR, to, control), "MPI_Reduce");
  }
}

#else  // one rank: what would need another is never reached

std::string mpi_version() { return {}; }

Comm::Comm(starpu_conf& conf, bool with_mpi) {
  if (with_mpi)
    throw NotCompiled("several ranks were started, but this build has no MPI",
                      "install libopenmpi-dev and build again");
  if (const int code = starpu_init(&conf); code != 0) starpu_refused(code);
}
Comm::~Comm() { starpu_shutdown(); }
std::string Comm::from_first_rank(const std::function<std::string()>& make) { return make(); }
void Comm::barrier() {}
void Comm::abort(int exit_code) { std::_Exit(exit_code); }
void Comm::end_others(int) {}
std::int64_t Comm::allocate_tags(std::int64_t) { return -1; }
void Comm::free_tags(std::int64_t) {}
void Comm::send(starpu_data_handle_t, int, std::int64_t, int) {
  HPDLF_ASSERT(false, "a transfer on one rank");
}
void Comm::receive(starpu_data_handle_t, int, std::int64_t, int) {
  HPDLF_ASSERT(false, "a transfer on one rank");
}
void Comm::drain() { starpu_task_wait_for_all(); }
void Comm::combine(std::span<std::byte>, int) {}

#endif

std::vector<std::int64_t> Comm::gather(std::int64_t mine) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(ranks_));
  all[static_cast<std::size_t>(rank_)] = mine;
  combine(std::as_writable_bytes(std::span(all)), -1);
  return all;
}

}  // namespace hpdlf::runtime
