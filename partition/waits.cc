#include "partition/waits.hpp"

#include <algorithm>

#include "graph/op_spec.hpp"

namespace hpdlf::partition {
namespace {

using graph::kNone;
using graph::NodeId;
using graph::Phase;
using graph::ValueId;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

/// What of the step must have happened before a value can be there.
enum class Stage : std::uint8_t { parameters, data, gradient };

class Waits {
 public:
  explicit Waits(const graph::Graph& graph)
      : graph_(graph),
        stages_(graph.values().size(), Stage::parameters),
        first_reader_(graph.nodes().size(), kNone) {
    find_sources();
    for (NodeId n = 0; n < count(); ++n) {
      Stage stage = Stage::parameters;
      visit_operands(n, [&](ValueId v) {
        const NodeId producer = graph_.value(v).producer;
        if (producer != kNone && first_reader_[at(producer)] == kNone)
          first_reader_[at(producer)] = n;
        stage = std::max(stage, stages_[at(v)]);
      });
      for (const ValueId output : graph_.node(n).outputs) stages_[at(output)] = stage;
    }
  }

  [[nodiscard]] std::vector<ValueId> result() const {
    std::vector<ValueId> awaited(graph_.nodes().size(), kNone);
    for (NodeId n = 0; n < count(); ++n)
      if (is_early(n)) awaited[at(n)] = awaited_by(n);
    return awaited;
  }

 private:
  [[nodiscard]] NodeId count() const { return static_cast<NodeId>(graph_.nodes().size()); }
  [[nodiscard]] Stage stage_of(NodeId n) const { return stages_[at(graph_.node(n).outputs[0])]; }

  template <class Visit>
  void visit_operands(NodeId n, const Visit& visit) const {
    for (const ValueId input : graph_.node(n).inputs) visit(input);
    if (graph_.node(n).accumulate != kNone) visit(graph_.node(n).accumulate);
  }

  /// Graph inputs, and what the reverse sweep starts from: constants that only its own nodes read.
  void find_sources() {
    for (std::size_t v = 0; v < stages_.size(); ++v) {
      const graph::Role role = graph_.values()[v].role;
      stages_[v] = role == graph::Role::input      ? Stage::data
                   : role == graph::Role::constant ? Stage::gradient
                                                   : Stage::parameters;
    }
    for (NodeId n = 0; n < count(); ++n)
      if (graph_.node(n).phase != Phase::backward)
        visit_operands(n, [&](ValueId v) {
          if (graph_.value(v).role == graph::Role::constant) stages_[at(v)] = Stage::parameters;
        });
  }

  /// What nodes of a phase wait for in any case.
  [[nodiscard]] static Stage usual_stage(Phase phase) {
    return phase == Phase::backward ? Stage::gradient
           : phase == Phase::update ? Stage::parameters
                                    : Stage::data;
  }
  [[nodiscard]] bool is_early(NodeId n) const {
    return stage_of(n) < usual_stage(graph_.node(n).phase);
  }

  /// Of the operands of `reader` that are of `stage`, the one computed last, before node `limit`.
  [[nodiscard]] ValueId latest_operand(NodeId reader, Stage stage, NodeId limit) const {
    ValueId latest = kNone;
    visit_operands(reader, [&](ValueId v) {
      const NodeId producer = graph_.value(v).producer;
      if (producer == kNone || producer >= limit || stages_[at(v)] < stage) return;
      if (latest == kNone || producer > graph_.value(latest).producer) latest = v;
    });
    return latest;
  }

  [[nodiscard]] double effort(NodeId n) const {
    return graph::nominal_effort(graph::call_of(graph_, graph_.node(n)));
  }

  [[nodiscard]] ValueId awaited_by(NodeId n) const {
    const Stage stage = usual_stage(graph_.node(n).phase);
    NodeId reader = n;
    double to_hide = 0;
    for (; reader != kNone && is_early(reader); reader = first_reader_[at(reader)])
      to_hide += effort(reader);
    if (reader == kNone) return kNone;
    ValueId awaited = latest_operand(reader, stage, n);
    if (stage_of(n) != Stage::parameters) return awaited;
    while (awaited != kNone && to_hide > 0) {
      const NodeId beside = graph_.value(awaited).producer;
      to_hide -= effort(beside);
      awaited = latest_operand(beside, stage, n);
    }
    return awaited;
  }

  const graph::Graph& graph_;
  std::vector<Stage> stages_;         // [value]
  std::vector<NodeId> first_reader_;  // [node] of any of its results
};

}  // namespace

std::vector<ValueId> awaited_values(const graph::Graph& graph) { return Waits(graph).result(); }

}  // namespace hpdlf::partition
