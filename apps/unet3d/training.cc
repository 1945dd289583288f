#include "apps/unet3d/training.hpp"

#include "apps/unet3d/network.hpp"
#include "base/finite.hpp"
#include "base/hash.hpp"
#include "base/interrupt.hpp"

namespace hpdlf::apps {
namespace {

namespace fs = std::filesystem;

/// The name under which a snapshot carries the configuration.
constexpr const char* kConfigTensor = "config.toml";

train::LoaderOptions loader_options(const UNet3dAppOptions& o, const Extents& window) {
  return {.batch = o.batch,
          .patch = window,
          .whole_volumes = o.patch.empty(),
          .foreground_share = o.foreground_share,
          .augment = o.augment,
          .seed = static_cast<std::uint64_t>(o.seed),
          .threads = static_cast<int>(o.loader_threads)};
}

}  // namespace

bool is_kept(const graph::Value& value) {
  return value.role == graph::Role::parameter || value.role == graph::Role::state;
}

UNet3dTraining::UNet3dTraining(Parts parts, const Extents& window, std::int64_t first_step)
    : parts_(std::move(parts)),
      window_(window),
      first_step_(first_step),
      progress_({.style = parts_.quiet || parts_.store == nullptr
                              ? train::ProgressOptions::Style::quiet
                              : train::ProgressOptions::Style::automatic}),
      voxels_per_step_(static_cast<double>(window.elements() * parts_.options.batch)) {
  start_loader(first_step);
  if (parts_.store == nullptr) return;
  metrics_ = std::make_unique<train::MetricsLog>(
      parts_.folder, metric_columns(parts_.options.data.classes), first_step);
  if (first_step > 0)
    history_ = read_history(parts_.folder / "metrics.csv", parts_.options.data.classes);
  writer_ = std::make_unique<train::SnapshotWriter>(*parts_.store);
}

void UNet3dTraining::start_loader(std::int64_t first_step) {
  loader_.reset();  // the threads of the old one end before those of the new one begin
  loader_ = std::make_unique<train::Loader>(parts_.data.train,
                                            loader_options(parts_.options, window_), first_step);
}

runtime::StepInputs UNet3dTraining::inputs(std::int64_t step) {
  const train::Batch batch = loader_->next();
  HPDLF_ASSERT(batch.index == step, "the loader gave batch {} for step {}", batch.index, step);
  const graph::Graph& g = *parts_.step.graph;
  return {{g.find(kImageInput), batch.image}, {g.find(kLabelsInput), batch.labels}};
}

void UNet3dTraining::on_step(const train::StepReport& r) {
  const double dice = soft_dice(*r.result->fetched.at("dice_sums"));
  history_.steps.push_back({r.step + 1, r.loss, dice, r.learning_rate, r.seconds});
  if (metrics_ != nullptr)
    metrics_->add(r.step + 1,
                  std::vector<train::MetricsLog::Scalar>{{kLossColumn, r.loss},
                                                         {kSoftDiceColumn, dice},
                                                         {kLearningRateColumn, r.learning_rate},
                                                         {kStepMsColumn, r.seconds * 1e3}});
  progress_.update({.step = r.step + 1,
                    .steps = parts_.options.steps,
                    .loss = r.loss,
                    .dice = dice,
                    .step_seconds = r.seconds,
                    .units_per_step = voxels_per_step_});
}

void UNet3dTraining::validate(std::int64_t step) {
  parts_.inference.load(parts_.executor);  // also for the file that is segmented at the end
  if (parts_.data.validation.empty()) return;
  Validation v{.step = step, .dice = std::vector<double>(parts_.options.data.classes.size() - 1)};
  predictions_.clear();
  for (const auto& c : parts_.data.validation) {
    predictions_.push_back(parts_.inference.segment(c.image));
    const auto dice = train::dice(c.labels, predictions_.back(), parts_.options.net.classes);
    for (std::size_t k = 0; k < dice.size(); ++k)
      v.dice[k] += dice[k] / static_cast<double>(parts_.data.validation.size());
  }
  std::string text = fmt::format("step {}: held-out Dice {:.3f}  (", step, v.mean());
  std::vector<train::MetricsLog::Scalar> row{{kMeanDiceColumn, v.mean()}};
  for (std::size_t k = 0; k < v.dice.size(); ++k) {
    const std::string& name = parts_.options.data.classes[k + 1];
    text += fmt::format("{}{} {:.3f}", k > 0 ? ", " : "", name, v.dice[k]);
    row.push_back({dice_column(name), v.dice[k]});
  }
  progress_.message(text + ")");
  // A resumed run may have the row already; the predictions it has not.
  if (!history_.validations.empty() && history_.validations.back().step == step) return;
  if (metrics_ != nullptr) metrics_->add(step, row);
  history_.validations.push_back(std::move(v));
}

bool UNet3dTraining::save(std::int64_t step) {
  const graph::Graph& g = *parts_.step.graph;
  std::vector<train::SnapshotTensor> tensors;
  bool is_finite = true;
  for (std::size_t i = 0; i < g.values().size(); ++i) {
    const graph::Value& value = g.values()[i];
    if (!is_kept(value)) continue;
    const auto content = parts_.executor.read(static_cast<graph::ValueId>(i), 0);
    if (content == nullptr) continue;
    is_finite = is_finite && all_finite(content->data, value.type.dtype);
    if (writer_ != nullptr) tensors.push_back({value.name, value.type, content->data, content});
  }
  if (parts_.session.any(!is_finite)) return false;
  has_saved_ = true;
  if (writer_ == nullptr) return true;
  const auto text = std::make_shared<const std::string>(parts_.config_text);
  tensors.push_back({kConfigTensor,
                     {DType::u8, {static_cast<std::int64_t>(text->size())}},
                     std::as_bytes(std::span(*text)),
                     text});
  train::SnapshotInfo info{.network = network_name(parts_.options, g),
                           .step = step,
                           .config_hash = fmt::format("{:016x}", Hash().add(*text).value()),
                           .loader_position = fmt::format("{}", step),
                           .random_state = fmt::format("seed {}", parts_.options.seed),
                           .metrics = {}};
  if (!history_.steps.empty()) info.metrics["loss"] = history_.steps.back().loss;
  if (!history_.validations.empty()) info.metrics["mean_dice"] = history_.validations.back().mean();
  writer_->save(std::move(info), std::move(tensors));
  return true;
}

void UNet3dTraining::finish_saving() {
  if (writer_ != nullptr) writer_->finish();
}

std::int64_t UNet3dTraining::restore() {
  finish_saving();
  parts_.session.barrier();  // the first rank has written
  // The newest is this run's if it has saved; before that there may be newer ones than it goes on from, of updates it did not do.
  const fs::path& saved = has_saved_ ? parts_.folder : parts_.resumed;
  std::int64_t step = 0;
  if (!saved.empty())
    step = resume_from(saved, parts_.executor, network_name(parts_.options, *parts_.step.graph));
  else
    parts_.executor.initialise();
  progress_.message(
      fmt::format("not finite: repeating the steps after {} to find out where it begins", step));
  start_loader(step);
  return step;
}

bool UNet3dTraining::stop_requested() { return parts_.session.any(InterruptGuard::requested()); }

std::int64_t resume_from(const fs::path& path, runtime::Executor& executor,
                         const std::string& network) {
  const train::Snapshot snapshot = train::load_snapshot(path);
  const graph::Graph& g = *executor.task_graph().graph;
  train::check_network(snapshot, g, network);
  for (std::size_t i = 0; i < g.values().size(); ++i) {
    const graph::Value& value = g.values()[i];
    if (!is_kept(value)) continue;
    const train::SnapshotTensor& tensor = snapshot.tensor(value.name);
    runtime::HostTensor content(value.type);
    std::copy(tensor.bytes.begin(), tensor.bytes.end(), content.data.begin());
    executor.write(static_cast<graph::ValueId>(i), content);
  }
  return snapshot.info.step;
}

std::string config_of(const train::Snapshot& snapshot) {
  const auto bytes = snapshot.tensor(kConfigTensor).bytes;
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

double soft_dice(const runtime::HostTensor& sums) {
  const auto values = sums.as<double>();  // [N | 1, 3, K]: sum p t, sum p, sum t
  const auto classes = static_cast<std::size_t>(sums.type.extents[2]);
  double total = 0;
  std::size_t count = 0;
  for (std::size_t n = 0; n < static_cast<std::size_t>(sums.type.extents[0]); ++n)
    for (std::size_t k = 1; k < classes; ++k, ++count) {
      const double* row = values.data() + n * 3 * classes + k;
      const double both = row[classes] + row[2 * classes];
      total += both > 0 ? 2 * row[0] / both : 1;
    }
  return count > 0 ? total / static_cast<double>(count) : 0;
}

}  // namespace hpdlf::apps
