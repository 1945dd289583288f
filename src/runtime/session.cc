#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <sched.h>
#include <starpu.h>
#include <unistd.h>

#include "base/atomic_file.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "partition/task_graph.hpp"
#include "runtime/launch.hpp"
#include "runtime/memory.hpp"
#include "runtime/session_impl.hpp"

namespace hpdlf::runtime {
namespace {

std::atomic<std::int64_t> live_handle_count = 0;
std::atomic<bool> session_exists = false;

/// Cores that this process may use.
int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  return std::max(1, CPU_COUNT(&set));
}

/// True if a launcher, taskset or a control group has given this process some cores of the machine only.
bool has_own_cores() { return available_cores() < static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)); }

/// Workers if the user does not say: the ranks of a machine share its cores, unless these have been dealt out.
int default_workers(const Launch& launch) {
  return has_own_cores() ? available_cores() : std::max(1, available_cores() / launch.local_ranks);
}

/// What the user set in the environment stays.
void set_default(const char* name, const std::string& value) {
  setenv(name, value.c_str(), /*overwrite=*/0);
}

/// StarPU takes some settings from the environment only. docs/environment.md lists them.
void set_environment_defaults(const Launch& launch, int workers) {
  const char* log = std::getenv("HPDLF_LOG");
  const bool talkative =
      log != nullptr && (std::string_view(log) == "debug" || std::string_view(log) == "trace");
  if (!talkative) set_default("STARPU_SILENT", "1");
  const bool shares_cores = launch.local_ranks > 1 || workers > available_cores();
  // Bound workers that share a core would be stuck to it while another is idle; and StarPU binds to any core of the machine.
  if (shares_cores || has_own_cores()) set_default("STARPU_WORKERS_NOBIND", "1");
  if (launch.mpi) set_default("STARPU_MPI_NOBIND", "1");
}

/// Has StarPU write its FxT trace to `dir` from start to shutdown.
class FxtTrace {
 public:
  explicit FxtTrace(const std::string& dir) {
    make_folders(dir);
    setenv("STARPU_FXT_TRACE", "1", 1);
    setenv("STARPU_FXT_PREFIX", (dir + "/").c_str(), 1);
  }
  ~FxtTrace() {  // the next session of this process traces only if it is asked to
    unsetenv("STARPU_FXT_TRACE");
    unsetenv("STARPU_FXT_PREFIX");
  }
  FxtTrace(const FxtTrace&) = delete;
  FxtTrace& operator=(const FxtTrace&) = delete;
};

/// The scheduler to use. @throws Error listing StarPU's, which would abort on an unknown one.
std::string checked_scheduler(const SessionOptions& options) {
  const char* wanted_by_user = std::getenv("STARPU_SCHED");
  std::string wanted =
      wanted_by_user != nullptr && *wanted_by_user != '\0' ? wanted_by_user : options.scheduler;
  if (std::getenv("STARPU_SCHED_LIB") != nullptr) return wanted;  // may name one of the library's
  std::string known;
  for (starpu_sched_policy** policy = starpu_sched_get_predefined_policies(); *policy != nullptr;
       ++policy) {
    if (wanted == (*policy)->policy_name) return wanted;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", (*policy)->policy_name);
  }
  throw Error(
      fmt::format("there is no scheduler `{}`; StarPU {}.{}.{} has {}", wanted,
                  STARPU_MAJOR_VERSION, STARPU_MINOR_VERSION, STARPU_RELEASE_VERSION, known),
      wanted_by_user != nullptr
          ? fmt::format("unset STARPU_SCHED for the default, {}", kDefaultScheduler)
          : "");
}

starpu_conf make_conf(const std::string& scheduler, int workers) {
  starpu_conf conf;
  starpu_conf_init(&conf);  // takes STARPU_NCPU and the rest of the environment
  conf.sched_policy_name = scheduler.c_str();
  if (std::getenv("STARPU_NCPU") == nullptr && std::getenv("STARPU_NCPUS") == nullptr)
    conf.ncpus = workers;
  // No kernel of ours runs on other devices, and their drivers would each take a core and the first worker ids.
  conf.ncuda = conf.nhip = conf.nopencl = conf.nmax_fpga = conf.nmpi_ms = conf.ntcpip_ms = 0;
  conf.catch_signals = 0;  // Ctrl-C is the trainer's
  // Without bounds dmdas takes every priority for the default one.
  conf.global_sched_ctx_min_priority = 0;
  conf.global_sched_ctx_max_priority = partition::kPriorityLevels - 1;
  return conf;
}

std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void count_handles(int change) { live_handle_count += change; }

Session::Impl::Impl(const SessionOptions& options)
    : scheduler(checked_scheduler(options)), start_ns(steady_ns()) {
  const Launch launch = read_launch();
  const int wanted = options.cpu_workers > 0 ? options.cpu_workers : default_workers(launch);
  set_environment_defaults(launch, wanted);
  if (!options.trace_dir.empty()) trace = std::make_shared<FxtTrace>(options.trace_dir);
  starpu_conf conf = make_conf(scheduler, wanted);
  install_memory_pool();
  try {
    comm = std::make_unique<Comm>(conf, launch.mpi);
  } catch (...) {
    remove_memory_pool();
    throw;
  }
  cpu_worker_ids.resize(static_cast<std::size_t>(starpu_cpu_worker_get_count()));
  starpu_worker_get_ids_by_type(STARPU_CPU_WORKER, cpu_worker_ids.data(),
                                static_cast<unsigned>(cpu_worker_ids.size()));
  workspaces.resize(starpu_worker_get_count());
  if (options.cpu_workers > 0 && options.cpu_workers != static_cast<int>(cpu_worker_ids.size()))
    spdlog::info("{} workers were asked for, STARPU_NCPU gives {}", options.cpu_workers,
                 cpu_worker_ids.size());
}

Session::Impl::~Impl() {
  for (const auto workspace : workspaces)
    if (!workspace.empty()) pool_free(workspace.data(), workspace.size());
  comm.reset();
  remove_memory_pool();
}

void Session::Impl::require_workspace(std::size_t bytes) {
  for (auto& workspace : workspaces) {
    if (workspace.size() >= bytes) continue;
    if (!workspace.empty()) pool_free(workspace.data(), workspace.size());
    workspace = {};
    workspace = {static_cast<std::byte*>(pool_allocate(bytes)), bytes};
  }
}

Session::Session(const SessionOptions& options) {
  HPDLF_CHECK(!session_exists.exchange(true),
              "a process can have one session at a time, and one is open");
  try {
    impl_ = std::make_unique<Impl>(options);
  } catch (...) {
    session_exists = false;
    throw;
  }
}

Session::~Session() {
  impl_.reset();
  session_exists = false;
}

int Session::rank() const { return impl_->comm->rank(); }
int Session::ranks() const { return impl_->comm->ranks(); }
int Session::cpu_workers() const { return static_cast<int>(impl_->cpu_worker_ids.size()); }
std::string Session::scheduler() const { return impl_->scheduler; }
bool Session::has_mpi() const { return impl_->comm->has_mpi(); }
std::int64_t Session::live_handles() { return live_handle_count; }
void Session::abort_all(int exit_code) { impl_->comm->abort(exit_code); }
void Session::end_others(int exit_code) { Comm::end_others(exit_code); }
void Session::barrier() { impl_->comm->barrier(); }
bool Session::any(bool value) {
  std::byte byte{value ? std::uint8_t{1} : std::uint8_t{0}};
  impl_->comm->combine({&byte, 1}, -1);
  return byte != std::byte{0};
}
std::string Session::from_first_rank(const std::function<std::string()>& make) {
  return Comm::from_first_rank(make);
}
std::int64_t Session::least(std::int64_t value) {
  return std::ranges::min(impl_->comm->gather(value));
}

RuntimeReport runtime_report() {
  RuntimeReport report;
  int major = 0;
  int minor = 0;
  int release = 0;
  starpu_get_version(&major, &minor, &release);
  report.starpu_version = fmt::format("{}.{}.{}", major, minor, release);
#ifdef STARPU_USE_FXT
  report.fxt = true;
#endif
#ifdef STARPU_SIMGRID
  report.simgrid = true;
#endif
  report.mpi_version = mpi_version();
  report.mpi = !report.mpi_version.empty();
  report.cores = available_cores();
  return report;
}

}  // namespace hpdlf::runtime
