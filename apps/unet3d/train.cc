// `hpdlf train` and `hpdlf predict` for the U-Net app.
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <optional>

#include "apps/unet3d/network.hpp"
#include "apps/unet3d/report.hpp"
#include "apps/unet3d/run_folder.hpp"
#include "apps/unet3d/training.hpp"
#include "base/atomic_file.hpp"
#include "base/console.hpp"
#include "base/interrupt.hpp"
#include "base/median.hpp"
#include "base/units.hpp"
#include "runtime/busy_meter.hpp"
#include "runtime/memory.hpp"
#include "runtime/trace.hpp"
#include "train/nifti.hpp"
#include "train/process_memory.hpp"
#include "train/run_summary.hpp"

namespace hpdlf::apps {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}
/// The run's own configuration when resuming, else the given file.
Config open_config(const TrainRequest& request) {
  if (request.resume.empty()) return Config::from_file(request.config, request.overrides);
  const train::Snapshot snapshot = train::load_snapshot(request.resume);
  return Config::from_text(config_of(snapshot), request.resume / "config.toml", request.overrides);
}

std::string describe_data(const train::VolumeDataset& data, const Extents& window) {
  const auto& e = data.train.front().image.extents;
  return fmt::format(
      "{} training and {} validation case(s); {} x {} x {} voxels, {} channel(s); the net sees {} "
      "x {} x {}",
      data.train.size(), data.validation.size(), e[0], e[1], e[2], e[3], window[0], window[1],
      window[2]);
}

class TrainCommand {
 public:
  explicit TrainCommand(const TrainRequest& request)
      : request_(request), config_(open_config(request)), options_(read_options(config_)) {}

  int run() {
    const train::VolumeDataset data = train::load_volumes(options_.data);
    const Extents window = window_extents(options_, data.train);
    path_ = runtime::Session::from_first_rank([&] { return open_folder(); });
    if (!is_new()) resumed_ = train::find_snapshot(request_.resume);
    const int code = run(data, window);
    if (request_.trace) {
      const std::string paje = runtime::Session::from_first_rank(
          [&] { return runtime::convert_fxt(trace_folder()).string(); });
      say(fmt::format("traces   {}: trace.json, paje.trace (docs/tracing.md)",
                      fs::path(paje).parent_path().string()));
    }
    return code;
  }

 private:
  [[nodiscard]] bool is_new() const { return request_.resume.empty(); }
  [[nodiscard]] fs::path trace_folder() const { return path_ / "trace"; }

  std::string open_folder() {
    folder_ = is_new() ? std::make_unique<RunFolder>(options_)
                       : std::make_unique<RunFolder>(options_, request_.resume);
    return folder_->path().string();
  }

  /// Destroying one waits for the other ranks: they outlive an error until it was said.
  struct Executors {
    std::optional<runtime::Executor> training;
    std::optional<UNet3dInference> inference;
  };

  /// The part with StarPU running; its traces are complete once it has ended.
  int run(const train::VolumeDataset& data, const Extents& window) {
    runtime::Session session(
        {.cpu_workers = options_.workers > 0 ? static_cast<int>(options_.workers) : -1,
         .scheduler = options_.scheduler,
         .trace_dir = request_.trace ? trace_folder().string() : ""});
    is_first_ = session.rank() == 0;
    Executors executors;
    return or_end_all_ranks(session, [&] { return run(session, executors, data, window); });
  }

  /// With several ranks an error ends all of them, and must do so while the executors live.
  template <class Work>
  int or_end_all_ranks(runtime::Session& session, const Work& work) {
    try {
      return work();
    } catch (const train::NonFiniteError& e) {
      if (session.ranks() == 1) throw;
      if (session.rank() == 0) say_line(stderr, fmt::format("error: {}", e.what()));
      session.barrier();  // nobody ends the first rank before it has spoken
      session.abort_all(1);
    } catch (const std::exception& e) {
      if (session.ranks() == 1) throw;
      say_line(stderr, fmt::format("error on rank {}: {}", session.rank(), e.what()));
      folder_.reset();  // if nothing is in it yet, it goes
      session.abort_all(1);
    }
  }

  void say(const std::string& text) const {
    if (is_first_ && !request_.quiet) say_line(stdout, text);
  }

  int run(runtime::Session& session, Executors& executors, const train::VolumeDataset& data,
          const Extents& window) {
    say("data     " + describe_data(data, window));
    const partition::CostModel model = measured_model(session, options_.memory_gib);
    const auto graph = training_graph(options_, data, window, model);
    const PlannedStep step = plan_step(graph, model, step_request(options_));
    train::reset_peak_resident();  // kernels may just have been measured
    const std::int64_t resident = train::resident_bytes();
    say(fmt::format("network  {}; {:.1f} GFLOP a step", network_name(options_, *graph),
                    step_flops(*step.graph) * 1e-9));
    const InterruptGuard interrupt;
    busy_.emplace(session.cpu_workers());
    if (request_.trace) trace_.emplace(step.tasks, session.rank());
    runtime::Executor& executor =
        executors.training.emplace(session, step.tasks, model, executor_options());
    executor.initialise();
    const std::int64_t first =
        is_new() ? 0 : resume_from(resumed_, executor, network_name(options_, *graph));
    check_unfinished(first);
    UNet3dInference& inference = executors.inference.emplace(session, model, options_, window,
                                                             data.train.front().image.extents[3]);
    predicted_peak_ = resident + runtime::memory_stats().current +
                      transient_bytes(step, session.rank()) + batch_bytes(*graph) +
                      validation_bytes(data, inference) + (is_first_ ? snapshot_bytes(*graph) : 0);
    say(fmt::format("plan     {}; {:.0f} MiB with the program", step.plan.reason,
                    mib(predicted_peak_)));
    const std::string config_text = config_.effective_toml();
    train::SnapshotStore* store = is_first_ ? &begin_writing(config_text, step) : nullptr;
    UNet3dTraining training({session, options_, data, step, path_, resumed_, store, executor,
                             inference, config_text, request_.quiet},
                            window, first);
    const train::StepLoopResult result = train::run_steps(executor, training, loop_options(first));
    training.finish_saving();
    finish({session, data, step, model, executor, inference, training}, result);
    if (request_.trace && is_first_) trace_->write(trace_folder() / "trace.json");
    session.barrier();
    return result.interrupted ? kInterruptedExitCode : 0;
  }

  train::SnapshotStore& begin_writing(const std::string& config_text, const PlannedStep& step) {
    train::SnapshotStore& store = folder_->lock();
    write_file_atomically(path_ / "config.toml", config_text);
    write_file_atomically(path_ / "plan.json", to_json(step.plan, *step.graph));
    return store;
  }

  runtime::ExecutorOptions executor_options() {
    return {.seed = static_cast<std::uint64_t>(options_.seed),
            .record_times = true,
            .on_times = [this](std::int64_t number, std::span<const runtime::TaskTime> times) {
              busy_->add_step(times);
              own_tasks_ = times.size();
              if (trace_) trace_->add_step(number, times);
            }};
  }

  train::StepLoopOptions loop_options(std::int64_t first) const {
    return {.first_step = first,
            .steps = options_.steps,
            .validate_every = options_.validate_every,
            .snapshot_every = options_.snapshot_every,
            .schedule = options_.schedule};
  }

  /// A run that was stopped between its last step and its summary still lacks a report.
  void check_unfinished(std::int64_t done) const {
    HPDLF_CHECK(
        done < options_.steps || (done == options_.steps &&
                                  !train::says_finished(path_ / "summary.json", options_.steps)),
        "{} has all of its {} steps behind it; nothing to do unless `train.steps` is raised",
        path_.string(), options_.steps);
  }

  /// Batches that are loaded, waiting, or read by the two steps in flight.
  std::int64_t batch_bytes(const graph::Graph& graph) const {
    const std::int64_t batches = train::LoaderOptions{}.prefetch + options_.loader_threads + 2;
    return batches * (graph.value(graph.find(kImageInput)).type.bytes() +
                      graph.value(graph.find(kLabelsInput)).type.bytes());
  }

  static std::int64_t validation_bytes(const train::VolumeDataset& data,
                                       const UNet3dInference& inference) {
    std::int64_t most = 0;
    for (const auto& c : data.validation)
      most = std::max(most, inference.host_bytes(c.image.extents));
    return most;
  }

  /// The copy of what is kept that is being written.
  static std::int64_t snapshot_bytes(const graph::Graph& graph) {
    std::int64_t bytes = 0;
    for (const auto& value : graph.values())
      if (is_kept(value)) bytes += value.type.bytes();
    return bytes;
  }

  /// Of this process; of those before if it had no step to do.
  static double step_ms(const UNet3dTraining& training, const train::StepLoopResult& result) {
    if (result.steps_done > training.first_step()) return result.step_ms;
    std::vector<double> ms;
    for (const History::Step& step : training.history().steps) ms.push_back(step.seconds * 1e3);
    return steady_median(std::move(ms));
  }

  train::RunSummary summarise(const runtime::Session& session, const PlannedStep& step,
                              const UNet3dTraining& training,
                              const train::StepLoopResult& result) const {
    const History& history = training.history();
    train::RunSummary s{
        .name = path_.filename().string(),
        .network = network_name(options_, *step.graph),
        .plan = step.plan.reason,
        .machine = step.plan.machine,
        .steps = result.steps_done,
        .resumed_at = training.first_step(),
        .interrupted = result.interrupted,
        .step_ms = step_ms(training, result),
        .predicted_step_ms = step.prediction.seconds * 1e3,
        .busy = busy_->shares(),
        .submit_us_per_task =
            result.submit_us / static_cast<double>(std::max<std::size_t>(own_tasks_, 1)),
        .peak_rss_mib = mib(train::peak_resident_bytes()),
        .predicted_peak_mib = mib(predicted_peak_),
        .total_seconds = seconds_since(start_),
        .seed = static_cast<std::uint64_t>(options_.seed),
        .ranks = session.ranks(),
        .workers = session.cpu_workers()};
    if (!history.steps.empty()) s.loss = history.steps.back().loss;
    if (!history.validations.empty()) {
      s.mean_dice = history.validations.back().mean();
      for (std::size_t k = 0; k < history.validations.back().dice.size(); ++k)
        s.dice.emplace_back(options_.data.classes[k + 1], history.validations.back().dice[k]);
    }
    return s;
  }

  /// What a run is made of.
  struct Parts {
    const runtime::Session& session;
    const train::VolumeDataset& data;
    const PlannedStep& step;
    const partition::CostModel& model;
    runtime::Executor& executor;
    UNet3dInference& inference;
    const UNet3dTraining& training;
  };

  void finish(const Parts& run, const train::StepLoopResult& result) const {
    const train::RunSummary summary = summarise(run.session, run.step, run.training, result);
    const fs::path summary_file = path_ / "summary.json";
    if (result.interrupted) {
      if (is_first_) train::write_summary(summary, summary_file);
      say(fmt::format("stopped after step {} of {}; saved. Go on with: hpdlf train --resume {}",
                      result.steps_done, options_.steps, path_.string()));
      return;
    }
    const train::LabelVolume labels = segment_file(run.inference, options_, image_to_segment());
    if (!is_first_) return;
    train::write_labels(path_ / "segmentation.nii.gz", labels);
    write_report(path_ / "report.html", {summary, options_, run.data, run.step, run.model,
                                         run.training, run.executor.task_times()});
    train::write_summary(summary, summary_file);  // last: it says that the rest is there
    print_results(summary);
  }

  /// The file whose segmentation lies in the run's folder: a held-out one where there is one.
  std::string image_to_segment() const {
    const auto& o = options_.data;
    return train::first_image(
        o.split == "files" && !o.validation_images.empty() ? o.validation_images : o.train_images);
  }

  void print_results(const train::RunSummary& s) const {
    if (!s.dice.empty()) say_line(stdout, fmt::format("\nheld-out Dice {:.3f}", s.mean_dice));
    for (const auto& [name, value] : s.dice)
      say_line(stdout, fmt::format("  {:<24} {:.3f}", name, value));
    say_line(stdout,
             fmt::format("step     {:.0f} ms (predicted {:.0f}); peak memory {:.0f} MiB (predicted "
                         "{:.0f}); {:.0f} s in all",
                         s.step_ms, s.predicted_step_ms, s.peak_rss_mib, s.predicted_peak_mib,
                         s.total_seconds));
    std::string busy;
    for (const double share : s.busy)
      busy += fmt::format("{}{:.0f} %", busy.empty() ? "" : ", ", 100 * share);
    if (s.steps > s.resumed_at)
      say_line(stdout, fmt::format("workers  busy {} of a step; {:.1f} us to submit a task", busy,
                                   s.submit_us_per_task));
    say_line(stdout, fmt::format("files    {}: report.html, summary.json, metrics.csv, "
                                 "segmentation.nii.gz, snapshots/",
                                 path_.string()));
  }

  TrainRequest request_;
  Config config_;
  UNet3dAppOptions options_;
  fs::path path_;                      ///< of the run
  fs::path resumed_;                   ///< the snapshot it goes on from
  std::unique_ptr<RunFolder> folder_;  ///< at path_, on the first rank
  Clock::time_point start_ = Clock::now();
  std::int64_t predicted_peak_ = 0;
  std::optional<runtime::BusyMeter> busy_;     ///< this rank's workers in the training steps
  std::optional<runtime::ChromeTrace> trace_;  ///< of this rank, if asked for
  std::size_t own_tasks_ = 0;                  ///< tasks of this rank in a step
  bool is_first_ = true;
};

}  // namespace

int train_unet3d(const TrainRequest& request) { return TrainCommand(request).run(); }

int predict_unet3d(const PredictRequest& request) {
  const train::Snapshot snapshot = train::load_snapshot(request.snapshot);
  Config config =
      Config::from_text(config_of(snapshot), snapshot.folder / "config.toml", request.overrides);
  const UNet3dAppOptions options = read_options(config);

  train::VolumeDataOptions prepared = options.data;
  const train::Volume image =
      train::load_image(request.image, prepared);  // fails on a bad file before anything starts
  runtime::Session session(
      {.cpu_workers = options.workers > 0 ? static_cast<int>(options.workers) : -1,
       .scheduler = options.scheduler});
  const partition::CostModel model = measured_model(session, options.memory_gib);
  Extents extents = image.extents;
  if (options.data.split == "hemispheres") extents[0] /= 2;
  train::VolumeCase one{"image", {extents, image.affine, {}}, {}};
  UNet3dInference net(session, model, options, window_extents(options, {one}), image.extents[3]);
  train::check_network(snapshot, net.graph(), network_name(options, net.graph()));
  for (const auto& value : net.graph().values()) {
    if (value.role != graph::Role::parameter) continue;
    const train::SnapshotTensor& tensor = snapshot.tensor(value.name);
    runtime::HostTensor content(tensor.type);
    std::copy(tensor.bytes.begin(), tensor.bytes.end(), content.data.begin());
    net.set_parameter(value.name, content);
  }
  const train::LabelVolume labels = segment_file(net, options, request.image);
  train::write_labels(request.output, labels);
  std::vector<std::int64_t> count(options.data.classes.size());
  for (const auto k : labels.voxels) ++count[k];
  fmt::print("{}: {} x {} x {} voxels\n", request.output.string(), labels.extents[0],
             labels.extents[1], labels.extents[2]);
  const auto mm = train::spacing(labels.affine);
  for (std::size_t k = 1; k < count.size(); ++k)
    fmt::print("  {:<24} {:>10.1f} ml\n", options.data.classes[k],
               static_cast<double>(count[k]) * mm[0] * mm[1] * mm[2] * 1e-3);
  return 0;
}

}  // namespace hpdlf::apps
