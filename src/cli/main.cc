// The program `hpdlf`: parses the command line, runs one subcommand, reports errors.
//
// Exit codes: 0 done, 1 an error (printed with a hint where one command repairs it), 2 wrong usage, 130 interrupted.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/console.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "cli/commands.hpp"
#include "hpdlf_version.hpp"
#include "runtime/session.hpp"

namespace {

constexpr const char* kDescription =
    "HP-DLF trains deep networks on CPU cores and many nodes: it splits every layer into tasks,\n"
    "predicts what each way of splitting costs before running, and runs the best one on StarPU.";

constexpr const char* kFooter =
    "Examples:\n"
    "  hpdlf train apps/unet3d/unet3d.toml                     train the bundled 3-D U-Net\n"
    "  hpdlf train my.toml --set train.steps=500 --set train.seed=3\n"
    "  hpdlf train --resume runs/unet3d-20260101-120000        go on where it stopped\n"
    "  hpdlf predict runs/unet3d-20260101-120000 t1.nii.gz -o labels.nii.gz\n"
    "  hpdlf doctor                                            what of this system is usable\n"
    "\n"
    "`hpdlf COMMAND --help` explains a command; docs/environment.md lists the environment "
    "variables.";

int run(int argc, char** argv) {
  CLI::App app{kDescription, "hpdlf"};
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("hpdlf ") + hpdlf::kVersion);
  app.require_subcommand(1);
  hpdlf::cli::Action action;
  hpdlf::cli::add_train(app, action);
  hpdlf::cli::add_predict(app, action);
  hpdlf::cli::add_plan(app, action);
  hpdlf::cli::add_calibrate(app, action);
  hpdlf::cli::add_bench(app, action);
  hpdlf::cli::add_doctor(app, action);
  hpdlf::cli::add_ops(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  return action();
}

}  // namespace

int main(int argc, char** argv) {
  hpdlf::init_log();
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    hpdlf::say_line(stderr, fmt::format("error: {}", e.what()));
    hpdlf::runtime::Session::end_others(1);
  }
  return 1;
}
