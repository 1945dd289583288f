#include "support/oracle.hpp"

#include <utility>

#include "graph/initialize.hpp"
#include "graph/op_spec.hpp"
#include "support/kernel_call.hpp"

namespace hpdlf::test {
namespace {

TensorView view_of(Tensor& tensor) {
  return TensorView::dense(tensor.data.data(), tensor.type.dtype, tensor.type.extents);
}

}  // namespace

Oracle::Oracle(const graph::Graph& graph, std::uint64_t seed, std::int64_t first_step)
    : graph_(graph), seed_(seed), step_(first_step) {
  for (const auto& value : graph.values()) {
    Tensor& tensor = tensors_.emplace_back(value.type);
    if (value.role == graph::Role::constant) tensor.data = value.content;
    if (value.role == graph::Role::parameter || value.role == graph::Role::state)
      graph::fill_initial(value, seed, Box::whole(value.type.extents), tensor.data.data());
  }
}

void Oracle::step(const std::map<graph::ValueId, Tensor>& inputs) {
  for (std::size_t i = 0; i < graph_.values().size(); ++i) {
    const auto& value = graph_.values()[i];
    if (value.role != graph::Role::input) continue;
    const auto given = inputs.find(static_cast<graph::ValueId>(i));
    HPDLF_CHECK(given != inputs.end(), "graph input `{}` is not given", value.name);
    HPDLF_CHECK(given->second.type == value.type, "graph input `{}` is {}, given is {}", value.name,
                to_string(value.type), to_string(given->second.type));
    tensors_[i] = given->second;
  }
  for (const auto& node : graph_.nodes()) {
    try {
      run(node);
    } catch (Error& error) {
      error.add_context(fmt::format("running node \"{}\" ({})", node.name, node.spec->name));
      throw;
    }
  }
  // All updates read what this step computed, so they are bound together.
  std::vector<std::pair<graph::ValueId, Tensor>> contents;
  for (const auto& [state, content] : graph_.updates())
    contents.emplace_back(state, value(content));
  for (auto& [state, content] : contents) value(state) = std::move(content);
  ++step_;
}

void Oracle::run(const graph::Node& node) {
  if (node.accumulate != graph::kNone) value(node.outputs[0]).data = value(node.accumulate).data;
  std::vector<TensorView> inputs, outputs;
  for (const auto id : node.inputs) inputs.push_back(view_of(value(id)));
  for (const auto id : node.outputs) outputs.push_back(view_of(value(id)));
  run_kernel(node.spec->name, {.inputs = inputs,
                               .outputs = outputs,
                               .attrs = &node.attrs,
                               .accumulate = node.accumulate != graph::kNone,
                               .workspace = {},
                               .seed = seed_,
                               .step = step_});
}

const Tensor& Oracle::fetched(std::string_view name) const {
  for (const auto& [known, id] : graph_.fetches())
    if (known == name) return value(id);
  throw Error(fmt::format("nothing is fetched as `{}`", name));
}

}  // namespace hpdlf::test
