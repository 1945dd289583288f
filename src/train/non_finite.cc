#include "train/non_finite.hpp"

#include "train/optimizer.hpp"

namespace hpdlf::train {
namespace {

constexpr const char* kLowerRate =
    "a lower `optimizer.learning_rate` or a longer `schedule.warmup`";

std::string made_by(const partition::TaskGraph& tasks, const partition::Task& task) {
  if (task.node == graph::kNone) return "";
  const graph::Node& node = tasks.graph->node(task.node);
  const std::string layer = node.layer.empty() ? "" : fmt::format("layer {}, ", node.layer);
  return fmt::format(" ({}, {}{})", task.op, layer, graph::name_of(task.phase));
}

}  // namespace

NonFiniteOrigin describe(const partition::TaskGraph& tasks, const runtime::NonFinite& found) {
  const partition::Task& task = tasks.tasks[static_cast<std::size_t>(found.task)];
  const partition::Tile& tile =
      tasks.tile(task.access[static_cast<std::size_t>(task.inputs + found.output)].tile);
  const graph::Value& value = tasks.graph->value(tile.value);
  if (value.name == kLearningRateInput)
    return {fmt::format("the input \"{}\"", value.name), kLowerRate};
  if (value.role == graph::Role::input)
    return {fmt::format("the input \"{}\"", value.name), "other data: this batch is not finite"};
  const std::string by = made_by(tasks, task);
  if (tile.is_persistent())
    return {fmt::format("the {} \"{}\" after its update{}",
                        tile.role == partition::Tile::Role::parameter ? "parameter" : "state",
                        value.name, by),
            kLowerRate};
  if (task.phase == graph::Phase::backward || task.phase == graph::Phase::reduce)
    return {fmt::format("the gradient \"{}\"{}", value.name, by), kLowerRate};
  return {fmt::format("the output of \"{}\"{}", value.name, by),
          fmt::format("{}, and look at the images for extreme intensities", kLowerRate)};
}

}  // namespace hpdlf::train
