// `hpdlf doctor`: what of this system is usable, and what to install for the rest.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "codelets/cpu/onednn_info.hpp"
#include "hpdlf_version.hpp"
#include "runtime/session.hpp"
#include "runtime/usable_memory.hpp"

namespace hpdlf::cli {
namespace {

struct Finding {
  std::string subject;
  bool usable = false;
  std::string detail;
  std::string advice;  ///< what to do if it is not usable
};

std::string gib(std::uintmax_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30));
}

std::vector<Finding> examine() {
  const runtime::RuntimeReport r = runtime::runtime_report();
  const codelets::OnednnInfo dnnl = codelets::onednn_info();
  std::vector<Finding> found;
  found.push_back(
      {"StarPU", true, fmt::format("{}{}", r.starpu_version, r.fxt ? ", FxT traces" : ""), ""});
  if (!r.fxt)
    found.push_back({"FxT traces", false, "StarPU was built without FxT",
                     "install libfxt-dev and run scripts/install_deps.sh"});
  found.push_back({"CPU", r.cores > 0,
                   fmt::format("{} cores, {}", r.cores, field_of("/proc/cpuinfo", "model name")),
                   ""});
  found.push_back({"oneDNN", true, fmt::format("{}, {}", dnnl.version, dnnl.instruction_set), ""});
  found.push_back({"MPI", r.mpi, r.mpi ? r.mpi_version : "not in this build",
                   "apt-get install libopenmpi-dev openmpi-bin, then run scripts/install_deps.sh "
                   "and build again"});
  found.push_back({"GPU", false, "not used yet: all kernels are for CPU cores", ""});
  const auto memory = static_cast<std::uintmax_t>(runtime::usable_memory());
  found.push_back({"memory", memory > (std::uintmax_t{2} << 30), gib(memory) + " available",
                   "close other programs, or give the container more"});
  std::error_code error;
  const auto disk = std::filesystem::space(".", error);
  found.push_back({"disk", !error && disk.available > (std::uintmax_t{1} << 30),
                   error ? error.message() : gib(disk.available) + " free here",
                   "free some space, or run elsewhere"});
  return found;
}

int run(bool json) {
  const auto findings = examine();
  if (json) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& f : findings)
      list.push_back({{"subject", f.subject},
                      {"usable", f.usable},
                      {"detail", f.detail},
                      {"advice", f.usable ? "" : f.advice}});
    fmt::print("{}\n", list.dump(2));
    return 0;
  }
  fmt::print("hpdlf {}\n", kVersion);
  for (const auto& f : findings) {
    fmt::print("  {} {:<12} {}\n", f.usable ? "yes" : "no ", f.subject, f.detail);
    if (!f.usable && !f.advice.empty()) fmt::print("      {:<12} to have it: {}\n", "", f.advice);
  }
  return 0;
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  auto json = std::make_shared<bool>(false);
  CLI::App* cmd = app.add_subcommand(
      "doctor", "Say what of this system is usable and what to install for the rest");
  cmd->add_flag("--json", *json, "As JSON");
  cmd->callback([json, &action] { action = [json] { return run(*json); }; });
}

}  // namespace hpdlf::cli
