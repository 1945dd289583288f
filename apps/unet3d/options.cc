#include "apps/unet3d/options.hpp"

#include <fmt/format.h>

#include "partition/planner.hpp"
#include "partition/recompute.hpp"

namespace hpdlf::apps {
namespace {

void bind_data(Config& c, UNet3dAppOptions& o) {
  c.section("data", "which volumes to learn from, and what their labels mean");
  c.bind("data.train_images", o.data.train_images,
         "NIfTI files or globs, one entry a case; channels of a case separated by ';'",
         {.is_path = true});
  c.bind("data.train_labels", o.data.train_labels,
         "label files of the same cases, in the same order", {.is_path = true});
  c.bind("data.validation_images", o.data.validation_images,
         "cases to validate on; never trained on", {.is_path = true});
  c.bind("data.validation_labels", o.data.validation_labels, "their label files",
         {.is_path = true});
  c.bind("data.split", o.data.split,
         "files: as listed above; hemispheres: train on the left half of the train images, "
         "validate on the mirrored right half",
         {.choices = {"files", "hemispheres"}});
  c.bind("data.classes", o.data.classes, "class names; the first is the background");
  c.bind("data.class_labels", o.data.class_labels,
         "label values of each class (\"1,3,10-20\"), or names of the label_names file with * "
         "(\"Hippocampus*,Amygdala*\"); "
         "\"*\" takes everything left over; empty: value = class");
  std::filesystem::path names = o.data.label_names;
  c.bind("data.label_names", names, "text file with a label value and its name a line");
  o.data.label_names = names;
  c.bind("data.downsample", o.data.downsample,
         "block mean over this many voxels an axis (2: 1 mm becomes 2 mm)", {.min = 1, .max = 16});
  c.bind("data.normalise", o.data.normalise,
         "subtract the mean and divide by the standard deviation of each volume");
  c.bind("data.patch", o.patch, "voxels of a training patch; empty: whole volumes",
         {.min = 1, .lengths = {0, 3}});
  c.bind("data.foreground_share", o.foreground_share,
         "share of the patches centred on a voxel of a foreground class", {.min = 0, .max = 1});
  c.bind("data.loader_threads", o.loader_threads,
         "threads that cut and augment samples while steps run", {.min = 1, .max = 64});
}

void bind_network(Config& c, UNet3dAppOptions& o) {
  c.section("network", "the 3-D U-Net");
  c.bind("network.filters", o.net.filters,
         "channels of each level, top first; every level halves the resolution", {.min = 1});
  c.section("loss", "class-weighted cross-entropy + Dice over the foreground classes");
  c.bind("loss.weighted", o.weighted_loss,
         "weight classes by 1/sqrt(frequency) in the cross-entropy");
  c.bind("loss.dice_smooth", o.loss.dice_smooth,
         "added to numerator and denominator of the Dice ratio", {.min = 0});
  c.bind("loss.dice_over_batch", o.loss.dice_over_batch,
         "one Dice ratio over the batch, else one a sample");
}

void bind_training(Config& c, UNet3dAppOptions& o) {
  c.section("optimizer", "how weights are updated");
  c.bind("optimizer.name", o.optimizer.name, "the method", {.choices = {"adamw", "sgd"}});
  c.bind("optimizer.learning_rate", o.schedule.peak, "highest learning rate",
         {.min = 0, .above_min = true});
  c.bind("optimizer.weight_decay", o.optimizer.weight_decay,
         "pull of weights towards 0; sgd: added to the gradient, adamw: decoupled from it",
         {.min = 0});
  c.bind("optimizer.momentum", o.optimizer.momentum, "sgd only", {.min = 0, .max = 1});
  c.bind("optimizer.nesterov", o.optimizer.nesterov, "sgd only");
  c.section("schedule", "the learning rate over the run");
  c.bind("schedule.name", o.schedule.name, "its shape",
         {.choices = {"one_cycle", "cosine", "constant"}});
  c.bind("schedule.warmup", o.schedule.warmup, "share of the steps that climb to the highest rate",
         {.min = 0, .max = 1});
  c.bind("schedule.cycle_momentum", o.cycle_momentum,
         "one_cycle with adamw: beta1 goes 0.95 - 0.85 - 0.95 against the rate");
  o.optimizer.cycled_beta1 =
      o.cycle_momentum && o.schedule.name == "one_cycle" && o.optimizer.name == "adamw";
  c.section("augment", "random changes of every training sample; 0 switches one off");
  c.bind("augment.rotation", o.augment.rotation, "standard deviation, rad", {.min = 0});
  c.bind("augment.scale", o.augment.scale, "standard deviation of the logarithm of the size",
         {.min = 0});
  c.bind("augment.shift", o.augment.shift, "standard deviation, voxels", {.min = 0});
  c.bind("augment.intensity_scale", o.augment.intensity_scale,
         "contrast changes by up to this share", {.min = 0, .max = 1});
  c.bind("augment.intensity_offset", o.augment.intensity_offset,
         "brightness changes by up to this, in standard deviations", {.min = 0});
  c.bind("augment.noise", o.augment.noise, "Gaussian noise, in standard deviations", {.min = 0});
  c.section("train", "how long, and how often to look");
  c.bind("train.steps", o.steps, "optimizer steps", {.min = 1});
  c.bind("train.batch", o.batch, "samples a step", {.min = 1});
  c.bind("train.seed", o.seed, "of weights, sampling and augmentation", {.min = 0});
  c.bind("train.validate_every", o.validate_every, "steps between validations; 0: only at the end",
         {.min = 0});
  c.bind("train.snapshot_every", o.snapshot_every, "steps between snapshots; 0: only at the end",
         {.min = 0});
  c.bind("train.keep_snapshots", o.keep_snapshots, "newest snapshots to keep", {.min = 1});
  std::string dtype = "f32";
  c.bind("train.dtype", dtype,
         "bf16: activations and products in bf16, weights, optimizer, statistics and loss in f32",
         {.choices = {"f32", "bf16"}});
  o.net.dtype = *dtype_from_name(dtype);
  c.section("validation", "sliding window over whole volumes");
  c.bind("validation.overlap", o.overlap, "share of a window that its neighbour covers too",
         {.min = 0, .max = 0.9});
}

void bind_machine(Config& c, UNet3dAppOptions& o) {
  c.section("plan", "how the work is split; the default measures the machine and chooses");
  c.bind("plan.strategy", o.strategy,
         fmt::format("auto, {}, or cuts a factor such as \"d:4 h:2\"",
                     fmt::join(partition::strategy_names(), ", ")));
  try {
    partition::check_strategy(o.strategy);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", c.where("plan.strategy"), error.message()));
  }
  std::string math = "fast";
  c.bind("plan.math", math,
         "fast: Winograd convolutions where they are faster; strict: direct ones only",
         {.choices = {"fast", "strict"}});
  o.net.passes.math = graph::math_from(math);
  std::string recompute = "off";
  c.bind("plan.recompute", recompute,
         fmt::format(
             "auto: compute results twice rather than keep them where that saves memory, for at "
             "most {:.0f} % more time or until plan.memory_gib is met; off: keep all",
             100 * (partition::RecomputeRequest().most_time - 1)),
         {.choices = {"off", "auto"}});
  o.recompute = partition::recompute_from(recompute);
  c.bind("plan.workers", o.workers, "CPU workers; 0: one a core", {.min = 0, .max = 1024});
  c.bind(
      "plan.memory_gib", o.memory_gib,
      "GiB that a rank may use; 0: its share of what the machine, or its control group, has left",
      {.min = 0});
  c.bind("plan.scheduler", o.scheduler, "StarPU scheduler; STARPU_SCHED wins");
  c.section("run", "where the results go");
  c.bind("run.folder", o.run_folder, "folder of all runs");
  c.bind("run.name", o.run_name, "folder of this run; empty: unet3d-DATE-TIME");
}

}  // namespace

UNet3dAppOptions read_options(Config& config) {
  UNet3dAppOptions o;
  config.section("app", "which application this file configures");
  (void)config.get<std::string>("app.name", "unet3d", "name of the application",
                                {.choices = {"unet3d"}});
  bind_data(config, o);
  bind_network(config, o);
  bind_training(config, o);
  bind_machine(config, o);
  config.check_unknown();
  HPDLF_CHECK(o.data.classes.size() >= 2,
              "{}: `data.classes` names {} classes; a background and at least one more are needed",
              config.where("data.classes"), o.data.classes.size());
  o.net.classes = static_cast<std::int64_t>(o.data.classes.size());
  return o;
}

}  // namespace hpdlf::apps
