#include "partition/sharing.hpp"

#include <algorithm>

namespace hpdlf::partition {
namespace {

using graph::kNone;
using graph::NodeId;
using graph::ValueId;

class SharingPlan {
 public:
  SharingPlan(const CutGraph& cut, const std::vector<ValueLayout>& layouts)
      : cut_(cut), layouts_(layouts), host_(layouts.size(), kNone), given_(layouts.size(), false) {}

  std::vector<ValueId> make() {
    for (const auto& [state, content] : cut_.graph->updates())
      if (may_update_in_place(state, content)) share(content, state);
    for (std::size_t n = 0; n < cut_.grids.size(); ++n) {
      const auto id = static_cast<NodeId>(n);
      const auto& node = cut_.graph->node(id);
      if (node.accumulate != kNone) {
        if (may_accumulate_in_place(id, node)) share(node.outputs[0], node.accumulate);
        continue;
      }
      for (const auto& [output, input] : node.spec->in_place)
        if (may_overwrite(id, node, output, input))
          share(node.outputs[at(output)], node.inputs[at(input)]);
    }
    return std::move(host_);
  }

 private:
  static std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

  void share(ValueId value, ValueId host) {
    host_[at(value)] = host;
    given_[at(host)] = true;
  }

  /// Each tile of the node reads of input `input` exactly the region that it writes of output `output`.
  bool is_elementwise(const graph::Node& node, const NodeGrid& grid, int output, int input) const {
    const bool declared = std::find(node.spec->in_place.begin(), node.spec->in_place.end(),
                                    std::pair(output, input)) != node.spec->in_place.end();
    return declared && grid.inputs[at(input)] == grid.outputs[at(output)] &&
           std::count(node.inputs.begin(), node.inputs.end(), node.inputs[at(input)]) == 1 &&
           layouts_[at(node.outputs[at(output)])].pieces.size() == grid.tiles();
  }

  bool may_update_in_place(ValueId state, ValueId content) const {
    const NodeId producer = cut_.graph->value(content).producer;
    if (producer == kNone || host_[at(content)] != kNone || given_[at(state)]) return false;
    const auto& node = cut_.graph->node(producer);
    if (node.accumulate != kNone) return false;
    const int output = static_cast<int>(
        std::find(node.outputs.begin(), node.outputs.end(), content) - node.outputs.begin());
    const auto& uses = cut_.uses_of(state);
    return std::all_of(uses.begin(), uses.end(), [&](const Use& use) {
      if (use.node != producer) return use.node < producer;
      return is_elementwise(node, cut_.grid(producer), output, use.operand);
    });
  }

  /// A value of which `node` is the last reader, in tiles like those of `output`.
  bool is_spent(ValueId value, NodeId node, ValueId output) const {
    const auto same = [](const Piece& a, const Piece& b) {
      return a.box == b.box && a.rank == b.rank;
    };
    const auto& from = layouts_[at(value)].pieces;
    const auto& to = layouts_[at(output)].pieces;
    return cut_.graph->value(value).role == graph::Role::computed &&
           cut_.state_of[at(value)] == kNone && !given_[at(value)] && host_[at(output)] == kNone &&
           cut_.uses_of(value).back().node == node &&
           cut_.graph->value(value).type == cut_.graph->value(output).type &&
           std::equal(from.begin(), from.end(), to.begin(), to.end(), same);
  }

  bool may_accumulate_in_place(NodeId id, const graph::Node& node) const {
    return std::find(node.inputs.begin(), node.inputs.end(), node.accumulate) ==
               node.inputs.end() &&
           is_spent(node.accumulate, id, node.outputs[0]);
  }

  bool may_overwrite(NodeId id, const graph::Node& node, int output, int input) const {
    return at(input) < node.inputs.size() && is_elementwise(node, cut_.grid(id), output, input) &&
           is_spent(node.inputs[at(input)], id, node.outputs[at(output)]);
  }

  const CutGraph& cut_;
  const std::vector<ValueLayout>& layouts_;
  std::vector<ValueId> host_;
  std::vector<bool> given_;  ///< its tiles are already another value's too
};

}  // namespace

std::vector<ValueId> plan_sharing(const CutGraph& cut, const std::vector<ValueLayout>& layouts) {
  return SharingPlan(cut, layouts).make();
}

}  // namespace hpdlf::partition
