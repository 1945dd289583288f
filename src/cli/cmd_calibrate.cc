// `hpdlf calibrate`: measures this machine again.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "runtime/calibrate.hpp"
#include "runtime/session.hpp"

namespace hpdlf::cli {
namespace {

int run(bool json) {
  const int cores = runtime::runtime_report().cores;
  runtime::forget_measurements(runtime::calibration_file());
  const partition::Machine machine =
      runtime::Calibration(runtime::calibration_file(), cores).machine(1);
  if (json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"machine", machine.name},
                                              {"workers", machine.workers},
                                              {"gflops_f32", machine.gflops_f32},
                                              {"gflops_bf16", machine.gflops_bf16},
                                              {"gbytes_per_s", machine.gbytes_per_s}}
                           .dump(2));
    return 0;
  }
  fmt::print(
      "{}, {} workers; a worker, all busy: {:.0f} GFLOP/s f32, {:.0f} GFLOP/s bf16, {:.1f} GB/s\n",
      machine.name, machine.workers, machine.gflops_f32, machine.gflops_bf16, machine.gbytes_per_s);
  return 0;
}

}  // namespace

void add_calibrate(CLI::App& app, Action& action) {
  auto json = std::make_shared<bool>(false);
  CLI::App* cmd = app.add_subcommand(
      "calibrate",
      "Measure this machine again (2 s), and its kernels when they are next planned with; done by "
      "itself at the first run");
  cmd->add_flag("--json", *json, "As JSON");
  cmd->callback([json, &action] { action = [json] { return run(*json); }; });
}

}  // namespace hpdlf::cli
