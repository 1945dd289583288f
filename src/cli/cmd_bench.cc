// `hpdlf bench step`: times one training step of a net that PyTorch is measured on, too.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/bench/step.hpp"
#include "cli/commands.hpp"
#include "cli/positive.hpp"

namespace hpdlf::cli {
namespace {

struct Options {
  apps::BenchRequest request;
  bool json = false, all_losses = false;
};

constexpr std::size_t kShownLosses = 4;

double rounded(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

std::vector<double> rounded(std::vector<double> values, int digits) {
  for (double& value : values) value = rounded(value, digits);
  return values;
}

void print_json(const apps::BenchResult& r) {
  nlohmann::ordered_json line = {{"net", r.net},
                                 {"dtype", r.dtype},
                                 {"size", r.size.size},
                                 {"batch", r.size.batch},
                                 {"seq", r.size.seq},
                                 {"threads", r.workers},
                                 {"params", r.params},
                                 {"first_step_s", rounded(r.first_step_s, 2)},
                                 {"min_ms", rounded(r.min_ms, 3)},
                                 {"median_ms", rounded(r.median_ms, 3)},
                                 {"losses", rounded(r.losses, 6)},
                                 {"gflops", rounded(r.gflops, 1)},
                                 {"peak_fraction", rounded(r.peak_fraction, 3)},
                                 {"peak_rss_mib", std::llround(r.peak_rss_mib)},
                                 {"predicted_ms", rounded(r.predicted_ms, 3)},
                                 {"predicted_peak_mib", std::llround(r.predicted_peak_mib)},
                                 {"tasks", r.tasks},
                                 {"us_per_task", rounded(r.us_per_task, 2)},
                                 {"busy", rounded(r.busy, 3)},
                                 {"plan", r.plan},
                                 {"machine", r.machine}};
  for (const auto& op : r.operators)
    if (!op.layer.empty())
      line["layers"].push_back({{"operator", op.op},
                                {"layer", op.layer},
                                {"tasks", op.tasks},
                                {"ms", rounded(op.ms, 3)},
                                {"predicted_ms", rounded(op.predicted_ms, 3)},
                                {"gflops", rounded(op.gflops, 1)}});
  fmt::print("{}\n", line.dump());
}

void print_operators(const std::vector<apps::OperatorTime>& operators) {
  double all = 0;
  std::size_t width = 0;  // of the layers' names
  for (const auto& op : operators) {
    all += op.ms;
    width = std::max(width, op.layer.size());
  }
  fmt::print("  {:<32} {:<{}} {:>8} {:>12} {:>12} {:>8} {:>10}\n", "operator",
             width > 0 ? "layer" : "", width, "tasks", "ms a step", "predicted", "share",
             "GFLOP/s");
  for (const auto& op : operators)
    fmt::print("  {:<32} {:<{}} {:>8} {:>12.2f} {:>12.2f} {:>6.1f} % {:>10.1f}\n", op.op, op.layer,
               width, op.tasks, op.ms, op.predicted_ms, 100 * op.ms / all, op.gflops);
}

void print_table(const apps::BenchResult& r) {
  std::string size = fmt::format("batch {}", r.size.batch);
  if (r.size.size > 0) size += fmt::format(", size {}", r.size.size);
  if (r.size.seq > 0) size += fmt::format(", {} tokens", r.size.seq);
  fmt::print("{} {}, {}; {} parameters; {} workers of {}\n", r.net, r.dtype, size,
             fmt::group_digits(r.params), r.workers, r.machine);
  fmt::print("plan        {}\n", r.plan);
  fmt::print("step        {:.2f} ms (least {:.2f}, predicted {:.2f})\n", r.median_ms, r.min_ms,
             r.predicted_ms);
  fmt::print("speed       {:.1f} GFLOP/s of convolutions and products, {:.0f} % of the peak\n",
             r.gflops, r.peak_fraction * 100);
  fmt::print("memory      {:.0f} MiB at its peak (predicted {:.0f})\n", r.peak_rss_mib,
             r.predicted_peak_mib);
  fmt::print("tasks       {}, {:.2f} us each to submit\n", r.tasks, r.us_per_task);
  fmt::print("busy       ");
  for (const double share : r.busy) fmt::print(" {:.1f} %", share * 100);
  fmt::print("\nlosses     ");
  for (const double loss : r.losses) fmt::print(" {:.6f}", loss);
  fmt::print("\n\n");
  print_operators(r.operators);
}

void add_step(CLI::App& bench, Action& action) {
  auto options = std::make_shared<Options>();
  apps::BenchRequest& request = options->request;
  CLI::App* cmd = bench.add_subcommand("step", "Time one training step of a net");
  std::string footer = "Nets, each as in scripts/torch_bench.py:\n";
  for (const auto& net : apps::bench_nets())
    footer += fmt::format("  {:<10} {}\n", net.name, net.doc);
  footer +=
      "Two steps warm up. A step lasts from its submission to the end of its last task. GFLOP/s "
      "counts\nconvolutions and matrix products as if done directly, so a faster algorithm can "
      "pass the peak.\nscripts/compare_pytorch.sh runs PyTorch beside it.";
  cmd->footer(footer);
  cmd->add_option("--net", request.net, "Which net, see below")->required();
  cmd->add_option("--size", request.size.size, "Voxels along each axis")->check(positive());
  cmd->add_option("--batch", request.size.batch, "Samples a step")->check(positive());
  cmd->add_option("--seq", request.size.seq, "Tokens of a sequence (gpt2)")->check(positive());
  cmd->add_option("--dtype", request.dtype, "f32 or bf16")->capture_default_str();
  cmd->add_option("--threads", request.threads, "Workers (default: one a core)")->check(positive());
  cmd->add_option("--steps", request.steps, "Steps that are timed")
      ->check(positive())
      ->capture_default_str();
  cmd->add_option("--strategy", request.strategy, "How to split the work, as `plan.strategy`")
      ->capture_default_str();
  cmd->add_option("--math", request.math, "fast, or strict: direct convolutions only")
      ->check(CLI::IsMember({"fast", "strict"}))
      ->capture_default_str();
  cmd->add_option("--recompute", request.recompute,
                  "auto: compute results twice rather than keep them, as `plan.recompute`")
      ->check(CLI::IsMember({"off", "auto"}))
      ->capture_default_str();
  cmd->add_flag("--layers", request.by_layer,
                "Times of each layer's operators, not of each operator; in JSON, too");
  cmd->add_flag("--json", options->json, "One line of JSON");
  cmd->add_flag("--all-losses", options->all_losses,
                "Losses of every step, the untimed ones too, not of the first four");
  cmd->callback([options, &action] {
    action = [options] {
      apps::BenchResult result = apps::bench_step(options->request);
      if (!options->all_losses) result.losses.resize(std::min(result.losses.size(), kShownLosses));
      options->json ? print_json(result) : print_table(result);
      return 0;
    };
  });
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App* cmd = app.add_subcommand("bench", "Measure how fast this program is here");
  cmd->require_subcommand(1);
  cmd->footer(
      "Example:\n  hpdlf bench step --net mlperf --size 64 --steps 10 --json\n"
      "`hpdlf bench step --help` lists the nets.");
  add_step(*cmd, action);
}

}  // namespace hpdlf::cli
