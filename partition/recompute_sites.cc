#include "partition/recompute_sites.hpp"

#include <algorithm>
#include <limits>
#include <set>

namespace hpdlf::partition {
namespace {

using graph::kNone;
using graph::NodeId;
using graph::ValueId;

/// How far back copies of copies go. Further, saving less memory for more time is all that is left.
constexpr int kDeepest = 4;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

struct Span {
  double start = std::numeric_limits<double>::infinity(), end = 0;
  void add(double from, double to) {
    start = std::min(start, from);
    end = std::max(end, to);
  }
  [[nodiscard]] bool holds(double time) const { return start <= time && time < end; }
};

/// The simulated step at the moment of its peak.
class PeakView {
 public:
  PeakView(const TaskGraph& tasks, const Prediction& prediction, const CostModel& model)
      : tasks_(tasks), graph_(*tasks.graph) {
    const auto fullest =
        std::max_element(prediction.peak_bytes.begin(), prediction.peak_bytes.end());
    const int rank = static_cast<int>(fullest - prediction.peak_bytes.begin());
    peak_ = prediction.peak_at[at(rank)];
    find_readers();
    measure(prediction, model);
    count_bytes(rank);
  }

  /// Readers of any result of `node`, in order; empty if the step leaves one of them behind.
  [[nodiscard]] std::vector<NodeId> readers_of(NodeId node) const {
    std::set<NodeId> readers;
    for (const ValueId output : graph_.node(node).outputs) {
      if (is_left_behind_[at(output)]) return {};
      readers.insert(readers_[at(output)].begin(), readers_[at(output)].end());
    }
    return {readers.begin(), readers.end()};
  }
  [[nodiscard]] bool has_ended(NodeId node) const { return nodes_[at(node)].end <= peak_; }
  [[nodiscard]] bool is_to_come(NodeId node) const { return nodes_[at(node)].start > peak_; }

  [[nodiscard]] std::int64_t bytes_held(NodeId node) const {
    std::int64_t bytes = 0;
    for (const ValueId output : graph_.node(node).outputs) bytes += held_[at(output)];
    return bytes;
  }

  /// What `copied` would read and nobody holds at the peak.
  [[nodiscard]] std::int64_t bytes_to_hold(const std::vector<NodeId>& copied) const {
    std::set<ValueId> values;
    for (const NodeId node : copied)
      for (const ValueId input : graph_.node(node).inputs) {
        const auto& value = graph_.value(input);
        const bool is_copied =
            std::find(copied.begin(), copied.end(), value.producer) != copied.end();
        const bool comes_and_goes =
            value.role == graph::Role::computed || value.role == graph::Role::input;
        if (!is_copied && comes_and_goes) values.insert(input);
      }
    std::int64_t bytes = 0;
    for (const ValueId value : values) bytes += all_[at(value)] - held_[at(value)];
    return bytes;
  }

  [[nodiscard]] double seconds(const std::vector<NodeId>& copied) const {
    double sum = 0;
    for (const NodeId node : copied) sum += seconds_[at(node)];
    return sum;
  }

 private:
  void find_readers() {
    readers_.resize(graph_.values().size());
    is_left_behind_.assign(graph_.values().size(), false);
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      const auto& node = graph_.node(n);
      for (const ValueId input : node.inputs) readers_[at(input)].push_back(n);
      if (node.accumulate != kNone) readers_[at(node.accumulate)].push_back(n);
    }
    for (const auto& [state, content] : graph_.updates()) is_left_behind_[at(content)] = true;
    for (const auto& [name, value] : graph_.fetches()) is_left_behind_[at(value)] = true;
  }

  void measure(const Prediction& prediction, const CostModel& model) {
    nodes_.resize(graph_.nodes().size());
    seconds_.assign(graph_.nodes().size(), 0);
    tiles_.resize(tasks_.tiles.size());
    for (std::size_t t = 0; t < tasks_.tasks.size(); ++t) {
      const Task& task = tasks_.tasks[t];
      for (const Access& a : task.access)
        tiles_[at(a.tile)].add(prediction.start[t], prediction.finish[t]);
      if (task.node == kNone) continue;
      nodes_[at(task.node)].add(prediction.start[t], prediction.finish[t]);
      if (is_kernel(task)) seconds_[at(task.node)] += model.seconds(task);
    }
  }

  [[nodiscard]] bool is_kernel(const Task& task) const {
    return task.phase == graph_.node(task.node).phase;
  }

  void count_bytes(int rank) {
    std::set<std::pair<ValueId, TileId>> seen;
    held_.assign(graph_.values().size(), 0);
    all_.assign(graph_.values().size(), 0);
    const auto add = [&](ValueId value, TileId id) {
      const Tile& tile = tasks_.tile(id);
      if (tile.owner != rank || tile.is_persistent() || !seen.insert({value, id}).second) return;
      all_[at(value)] += tile.bytes();
      if (tiles_[at(id)].holds(peak_)) held_[at(value)] += tile.bytes();
    };
    for (const Task& task : tasks_.tasks) {
      if (task.node == kNone || !is_kernel(task)) {
        if (task.value != kNone && task.inputs == 0) add(task.value, task.access[0].tile);  // Feed
        continue;
      }
      const auto& outputs = graph_.node(task.node).outputs;
      for (std::size_t o = 0; o < outputs.size(); ++o)
        add(outputs[o], task.access[at(task.inputs) + o].tile);
    }
  }

  const TaskGraph& tasks_;
  const graph::Graph& graph_;
  double peak_ = 0;
  std::vector<Span> nodes_, tiles_;
  std::vector<double> seconds_;  // [node]
  std::vector<std::vector<NodeId>> readers_;
  std::vector<bool> is_left_behind_;      // [value]
  std::vector<std::int64_t> held_, all_;  // [value] bytes at the peak, and whenever it is there
};

/// The first of `readers` that comes after the peak, if it cuts them in two: those before have ended, those from it on are to come.
NodeId reader_after_peak(const PeakView& view, const std::vector<NodeId>& readers) {
  const auto cut =
      std::find_if(readers.begin(), readers.end(), [&](NodeId n) { return !view.has_ended(n); });
  if (cut == readers.begin() || cut == readers.end()) return kNone;
  const bool is_gap = std::all_of(cut, readers.end(), [&](NodeId n) { return view.is_to_come(n); });
  return is_gap ? *cut : kNone;
}

}  // namespace

std::vector<SiteOffer> recompute_offers(const TaskGraph& tasks, const Prediction& prediction,
                                        const CostModel& model, std::int64_t least_bytes) {
  const graph::Graph& graph = *tasks.graph;
  const PeakView view(tasks, prediction, model);
  std::vector<SiteOffer> offers;
  for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes().size()); ++n) {
    if (!view.has_ended(n) || view.bytes_held(n) < least_bytes) continue;
    const NodeId reader = reader_after_peak(view, view.readers_of(n));
    if (reader == kNone) continue;
    std::vector<NodeId> copied;
    for (int depth = 0; depth <= kDeepest; ++depth) {
      std::vector<NodeId> deeper = nodes_to_recompute(graph, {n, reader, depth});
      if (deeper == copied) break;
      copied = std::move(deeper);
      const std::int64_t bytes = view.bytes_held(n) - view.bytes_to_hold(copied);
      if (bytes >= least_bytes) offers.push_back({{n, reader, depth}, bytes, view.seconds(copied)});
    }
  }
  std::stable_sort(offers.begin(), offers.end(),
                   [](const SiteOffer& a, const SiteOffer& b) { return a.worth() > b.worth(); });
  return offers;
}

}  // namespace hpdlf::partition
