// `hpdlf train`, `hpdlf predict`, `hpdlf plan`: the bundled applications from the command line.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "apps/unet3d/app.hpp"
#include "base/console.hpp"
#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/positive.hpp"

namespace hpdlf::cli {
namespace {

/// One pair each time, so that what follows it is not taken for another.
void add_overrides(CLI::App& cmd, std::vector<std::string>& overrides, const std::string& doc) {
  cmd.add_option("--set", overrides, doc + "; may be repeated")
      ->type_name("KEY=VALUE")
      ->take_all()
      ->allow_extra_args(false);
}

}  // namespace

void add_train(CLI::App& app, Action& action) {
  auto request = std::make_shared<apps::TrainRequest>();
  CLI::App* cmd = app.add_subcommand("train", "Train a network");
  cmd->footer(
      "Every key of the file can be set from here: --set train.steps=500 --set "
      "optimizer.learning_rate=1e-3\n"
      "Ctrl-C finishes the step, saves a snapshot and says how to resume; a second Ctrl-C stops at "
      "once.\n"
      "Under mpirun the ranks share the work: mpirun -n 2 hpdlf train CONFIG\n"
      "There a Ctrl-C leaves them a second; pkill -USR1 -n mpirun lets them finish the step and "
      "save (docs/environment.md)");
  auto* config =
      cmd->add_option("CONFIG", request->config, "Configuration of the experiment (TOML)");
  add_overrides(*cmd, request->overrides, "Override a key: --set train.steps=500");
  cmd->add_option_function<std::string>(
         "--math",
         [request](const std::string& m) { request->overrides.push_back("plan.math=" + m); },
         "fast (default) or strict: --set plan.math")
      ->check(CLI::IsMember({"fast", "strict"}));
  cmd->add_option_function<std::string>(
         "--recompute",
         [request](const std::string& r) { request->overrides.push_back("plan.recompute=" + r); },
         "off (default) or auto, less memory for more time: --set plan.recompute")
      ->check(CLI::IsMember({"off", "auto"}));
  auto* resume = cmd->add_option("--resume", request->resume, "Continue the run in this folder");
  config->excludes(resume);
  cmd->add_flag("--quiet", request->quiet, "No progress bar");
  cmd->add_flag("--trace", request->trace,
                "Write traces of the workers into the run's folder (docs/tracing.md)");
  cmd->callback([request, &action] {
    action = [request] {
      if (request->config.empty() && request->resume.empty())
        throw Error("nothing to train", "hpdlf train apps/unet3d/unet3d.toml, or --resume RUN");
      outlive_readers();  // `hpdlf train my.toml | head` trains to the end
      return apps::train_unet3d(*request);
    };
  });
}

void add_predict(CLI::App& app, Action& action) {
  auto request = std::make_shared<apps::PredictRequest>();
  CLI::App* cmd = app.add_subcommand("predict", "Segment an image with a trained network");
  cmd->add_option("SNAPSHOT", request->snapshot, "Folder of a run or of one snapshot")->required();
  cmd->add_option("IMAGE", request->image, "NIfTI image; several channels separated by ';'")
      ->required();
  cmd->add_option("-o,--output", request->output, "NIfTI labels to write, on the image's grid")
      ->required();
  add_overrides(*cmd, request->overrides,
                "Override a key of the run's configuration: --set data.patch=64,64,64");
  cmd->callback(
      [request, &action] { action = [request] { return apps::predict_unet3d(*request); }; });
}

void add_plan(CLI::App& app, Action& action) {
  auto request = std::make_shared<apps::PlanRequest>();
  CLI::App* cmd = app.add_subcommand(
      "plan", "Say how the work would be split and what a step would cost, without running it");
  cmd->add_option("CONFIG", request->config, "Configuration of the experiment (TOML)")->required();
  add_overrides(*cmd, request->overrides, "Override a key");
  cmd->add_option("--ranks", request->ranks, "Plan for this many ranks")->check(positive());
  cmd->add_option("-o,--output", request->output, "Write the plan as JSON");
  cmd->add_flag("--json", request->json, "Print the predictions as JSON");
  cmd->callback([request, &action] { action = [request] { return apps::plan_unet3d(*request); }; });
}

}  // namespace hpdlf::cli
