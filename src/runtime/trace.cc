#include "runtime/trace.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <spawn.h>
#include <starpu.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/atomic_file.hpp"
#include "base/error.hpp"

namespace hpdlf::runtime {
namespace {

namespace fs = std::filesystem;
using graph::Phase;

struct PhaseColor {
  unsigned rgb;
  const char* chrome;  ///< the nearest of the names that chrome://tracing knows
};

PhaseColor color_of(Phase phase) {
  switch (phase) {
    case Phase::load:
      return {0x7f7f7f, "grey"};
    case Phase::forward:
      return {0x1f77b4, "thread_state_running"};
    case Phase::loss:
      return {0x9467bd, "rail_animation"};
    case Phase::backward:
      return {0xff7f0e, "rail_response"};
    case Phase::reduce:
      return {0xe377c2, "terrible"};  // no red: that is StarPU's own for a sleeping worker
    case Phase::update:
      return {0x2ca02c, "good"};
    case Phase::move:
      return {0xbcbd22, "yellow"};
  }
  return {0, "black"};
}

/// Below this a task is bound by memory on any machine of today.
constexpr double kFlopsPerByte = 4;

unsigned lighter(unsigned rgb) {
  unsigned result = 0;
  for (const unsigned shift : {16U, 8U, 0U}) {
    const unsigned channel = rgb >> shift & 0xff;
    result |= (channel + (0xff - channel) / 2) << shift;
  }
  return result;
}

std::optional<fs::path> find_fxt_tool() {
  constexpr const char* kTool = "starpu_fxt_tool";
  // Beside the library in use: of several StarPUs only its own tool reads its traces.
  Dl_info library;
  if (dladdr(reinterpret_cast<const void*>(&starpu_init), &library) != 0) {
    const fs::path beside = fs::path(library.dli_fname).parent_path().parent_path() / "bin" / kTool;
    if (fs::exists(beside)) return beside;
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "";
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const fs::path candidate = fs::path(rest.substr(0, end)) / kTool;
    if (fs::exists(candidate)) return candidate;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::nullopt;
}

/// Runs a program with its output in `log`; its exit status, or -1 if it did not exit by itself.
int run_program(const std::vector<std::string>& command, const fs::path& log) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const auto& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t child = 0;
  const int code = posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0)
    throw LibraryError(fmt::format("cannot start {}: {}", command[0], std::strerror(code)));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// StarPU writes the colours of tasks as 0..255 where Paje has 0..1. Brings those of the entity definitions (lines that
/// begin with 6 and end with a quoted triple) into range.
std::string with_paje_colors(const std::string& trace) {
  std::string result;
  result.reserve(trace.size());
  for (std::size_t at = 0; at < trace.size();) {
    const std::size_t end = std::min(trace.find('\n', at), trace.size() - 1) + 1;
    const std::string line = trace.substr(at, end - at);
    at = end;
    double red = 0;
    double green = 0;
    double blue = 0;
    const std::size_t quote =
        line.starts_with("6\t") ? line.rfind('"', line.rfind('"') - 1) : std::string::npos;
    const bool has_color =
        quote != std::string::npos &&
        std::sscanf(line.c_str() + quote, "\"%lf %lf %lf", &red, &green, &blue) == 3;
    if (has_color && std::max({red, green, blue}) > 1)
      result += fmt::format("{}\"{:.3f} {:.3f} {:.3f}\"\n", line.substr(0, quote), red / 255,
                            green / 255, blue / 255);
    else
      result += line;
  }
  return result;
}

}  // namespace

unsigned task_color(const partition::Task& task) {
  const unsigned rgb = color_of(task.phase).rgb;
  const double bytes = task.cost.bytes_read + task.cost.bytes_written;
  return task.cost.flops > kFlopsPerByte * bytes ? rgb : lighter(rgb);
}

ChromeTrace::ChromeTrace(std::shared_ptr<const partition::TaskGraph> graph, int rank)
    : graph_(std::move(graph)), rank_(rank) {}

void ChromeTrace::add_step(std::int64_t step, std::span<const TaskTime> times) {
  for (const TaskTime& time : times) {
    const partition::Task& task = graph_->tasks[static_cast<std::size_t>(time.task)];
    const partition::Access& output = task.access.back();
    workers_ = std::max(workers_, time.worker + 1);
    events_ += fmt::format(
        ",\n{{\"name\":{},\"cat\":\"{}\",\"cname\":\"{}\",\"ph\":\"X\",\"pid\":{},\"tid\":{},"
        "\"ts\":{:.3f},\"dur\":{:.3f},"
        "\"args\":{{\"operator\":\"{}\",\"step\":{},\"region\":\"{}\",\"priority\":{}}}}}",
        nlohmann::json(graph_->describe(task)).dump(), name_of(task.phase),
        color_of(task.phase).chrome, rank_, time.worker, time.start_us, time.end_us - time.start_us,
        task.op, step, to_string(output.view), task.priority);
  }
}

void ChromeTrace::write(const fs::path& path) const {
  std::string text = fmt::format(
      "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{{\"name\":\"process_name\",\"ph\":\"M\","
      "\"pid\":{0},"
      "\"args\":{{\"name\":\"rank {0}\"}}}}",
      rank_);
  for (int worker = 0; worker < workers_; ++worker)
    text += fmt::format(
        ",\n{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":{},\"tid\":{},\"args\":{{\"name\":"
        "\"worker {}\"}}}}",
        rank_, worker, worker);
  write_file_atomically(path, text + events_ + "\n]}\n");
}

fs::path convert_fxt(const fs::path& dir) {
  std::vector<std::string> files;
  if (fs::is_directory(dir))
    for (const auto& entry : fs::directory_iterator(dir))
      if (entry.path().filename().string().starts_with("prof_file_"))
        files.push_back(entry.path().string());
  if (files.empty())
    throw Error(fmt::format("no FxT trace (prof_file_*) in {}", dir.string()),
                "the trace is written when the session ends");
  std::sort(files.begin(), files.end());
  const auto tool = find_fxt_tool();
  if (!tool)
    throw NotCompiled("starpu_fxt_tool was not found beside StarPU's library or in PATH",
                      "build StarPU with --enable-fxt (scripts/install_deps.sh), or install the "
                      "package starpu-tools");
  std::vector<std::string> command = {tool->string(), "-use-task-color", "-d", dir.string(), "-i"};
  command.insert(command.end(), files.begin(), files.end());
  const fs::path log = dir / "starpu_fxt_tool.log";
  const int status = run_program(command, log);
  fs::path trace = dir / "paje.trace";
  if (status != 0 || !fs::exists(trace))
    throw LibraryError(fmt::format("{} ended with status {}; its output is in {}", tool->string(),
                                   status, log.string()));
  write_file_atomically(trace, with_paje_colors(read_text_file(trace)));
  return trace;
}

}  // namespace hpdlf::runtime
