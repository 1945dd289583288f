#include <algorithm>
#include <numeric>
#include <set>

#include "partition/node_grid.hpp"
#include "partition/strategies/strategy.hpp"
#include "partition/strategies/value_cuts.hpp"
#include "partition/waits.hpp"

namespace hpdlf::partition {
namespace {

using graph::kNone;

/// Channels are cut to make up for thin levels between such lines of them: a vector of f32 (AVX-512). All nodes of a level then agree, those
/// that can only be cut there, too.
constexpr std::int64_t kLine = 16;
/// A parameter is updated in several tiles only if each has at least so many elements.
constexpr std::int64_t kFewestUpdated = 64 * 1024;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

int clamped(std::int64_t wanted, std::int64_t limit) {
  return static_cast<int>(std::max<std::int64_t>(1, std::min(wanted, limit)));
}

/// Parts of a channel factor that make up for missing tiles: equal ones of whole lines, unless these would be few.
int refilled(const NodeFactors& node, int channel, int wanted) {
  const std::int64_t extent = node.rule.factors[at(channel)].extent;
  const graph::OperandMap& output = node.rule.outputs[0];
  const bool shortens_vectors = output.empty() || output.back().factor == channel;
  const std::int64_t channels_an_index =
      shortens_vectors && !output.empty() ? output.back().stride : 1;
  const std::int64_t lines = extent * channels_an_index / kLine;
  if (!shortens_vectors && lines < wanted) return clamped(wanted, extent);
  const int most = clamped(wanted, lines);
  for (int parts = most; 2 * parts > most; --parts)
    if (lines % parts == 0) return parts;
  return most;
}

/// @param channel_of (parts of the data, wanted parts) -> the factor to cut where channels are, or -1
template <class ChannelOf>
std::vector<int> parts_of(const Cutting& cutting, const NodeFactors& node,
                          const ChannelOf& channel_of) {
  std::vector<int> parts(node.roles.size(), 1);
  int tiles = 1;
  bool is_thin = false;
  for (std::size_t f = 0; f < parts.size(); ++f) {
    const auto& factor = node.rule.factors[f];
    const auto wish = cutting.parts.find(node.roles[f]);
    if (wish == cutting.parts.end()) continue;
    const bool is_space = node.is_data(static_cast<int>(f)) && node.roles[f] != 'n';
    if (factor.kind == graph::Factor::Kind::whole) {
      is_thin |= node.is_data(static_cast<int>(f)) && wish->second > 1;
      continue;
    }
    parts[f] = clamped(wish->second, is_space ? factor.extent / cutting.thickness : factor.extent);
    is_thin |= is_space && parts[f] < wish->second;
    tiles *= parts[f];
  }
  const bool must_refill = cutting.channels <= 1 && is_thin && tiles < cutting.refill;
  const int wanted = must_refill ? (cutting.refill + tiles - 1) / tiles : cutting.channels;
  if (wanted <= 1) return parts;
  const int channel = channel_of(parts, wanted);
  if (channel < 0 || parts[at(channel)] > 1) return parts;
  parts[at(channel)] = must_refill ? refilled(node, channel, wanted)
                                   : clamped(wanted, node.rule.factors[at(channel)].extent);
  return parts;
}

/// Cuts what is `written` as a node that is cut into the parts of `reader` will `read` it.
void follow(const graph::OperandMap& written, const graph::TilingRule& rule,
            const graph::OperandMap& read, const NodePlan& reader, std::vector<int>& parts) {
  for (std::size_t dim = 0; dim < written.size(); ++dim) {
    const int f = written[dim].factor;
    if (f < 0 || read[dim].factor < 0 || rule.factors[at(f)].kind != graph::Factor::Kind::parallel)
      continue;
    parts[at(f)] = clamped(reader.parts[at(read[dim].factor)], rule.factors[at(f)].extent);
  }
}

/// Tiles to ranks in blocks, in order of (sample, space ...) and only if these are too few of (... channels) too.
std::vector<int> owners_of(const NodeFactors& node, const std::vector<int>& parts, int ranks) {
  std::vector<std::size_t> order;  // data roles first, outermost first
  for (const char role : kDataRoles)
    for (std::size_t f = 0; f < parts.size(); ++f)
      if (node.roles[f] == role) order.push_back(f);
  std::int64_t blocks = 1;
  for (const std::size_t f : order) blocks *= parts[f];
  if (blocks < ranks)
    for (std::size_t f = 0; f < parts.size(); ++f)
      if (!node.is_data(static_cast<int>(f))) {
        order.push_back(f);
        blocks *= parts[f];
      }
  const auto tiles =
      std::accumulate(parts.begin(), parts.end(), std::int64_t{1}, std::multiplies<>());
  std::vector<int> owners;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    std::vector<std::int64_t> index(parts.size());
    std::int64_t rest = tile;
    for (std::size_t f = parts.size(); f-- > 0; rest /= parts[f]) index[f] = rest % parts[f];
    std::int64_t block = 0;
    for (const std::size_t f : order) block = block * parts[f] + index[f];
    owners.push_back(static_cast<int>(block * ranks / blocks));
  }
  return owners;
}

/// Where a value is read first, by another node than the one that updates it.
struct FirstReader {
  graph::NodeId node = kNone;
  int operand = -1;
};

std::vector<FirstReader> first_readers(const graph::Graph& graph) {
  std::vector<graph::NodeId> updater(graph.values().size(), kNone);
  for (const auto& [state, content] : graph.updates())
    updater[at(state)] = graph.value(content).producer;
  std::vector<FirstReader> readers(graph.values().size());
  for (graph::NodeId n = 0; n < static_cast<graph::NodeId>(graph.nodes().size()); ++n) {
    int operand = 0;
    for (const graph::ValueId v : graph.node(n).inputs) {
      if (readers[at(v)].node == kNone && updater[at(v)] != n) readers[at(v)] = {n, operand};
      ++operand;
    }
  }
  return readers;
}

/// Nodes that read parameters only (weights that are transformed, split, cast) become tiles as the first reader of a result reads it.
void follow_readers(const Situation& s, const std::vector<FirstReader>& readers, Plan& plan) {
  const graph::Graph& graph = s.graph;
  std::vector<bool> is_prepared(graph.values().size());
  for (std::size_t v = 0; v < is_prepared.size(); ++v)
    is_prepared[v] = graph.values()[v].role == graph::Role::parameter;
  for (const graph::Node& node : graph.nodes()) {
    const bool prepares = !node.inputs.empty() && node.accumulate == kNone &&
                          std::all_of(node.inputs.begin(), node.inputs.end(),
                                      [&](graph::ValueId v) { return is_prepared[at(v)]; });
    for (const graph::ValueId v : node.outputs) is_prepared[at(v)] = prepares;
  }
  for (std::size_t n = graph.nodes().size(); n-- > 0;) {
    const auto& outputs = graph.nodes()[n].outputs;
    const auto read = std::find_if(outputs.begin(), outputs.end(), [&](graph::ValueId v) {
      return is_prepared[at(v)] && readers[at(v)].node != kNone;
    });
    if (read == outputs.end()) continue;
    const FirstReader& reader = readers[at(*read)];
    const auto& rule = s.factors[n].rule;
    follow(rule.outputs[static_cast<std::size_t>(read - outputs.begin())], rule,
           s.factors[at(reader.node)].rule.inputs[at(reader.operand)], plan.nodes[at(reader.node)],
           plan.nodes[n].parts);
    plan.nodes[n].owners = owners_of(s.factors[n], plan.nodes[n].parts, s.ranks);
  }
}

/// A parameter, the node that computes its new content, and the first other node that reads it.
struct Update {
  graph::ValueId parameter, content;
  graph::NodeId node;
  FirstReader reader;
};

std::vector<Update> find_updates(const graph::Graph& graph,
                                 const std::vector<FirstReader>& readers) {
  std::vector<Update> updates;
  for (const auto& [state, content] : graph.updates())
    if (graph.value(state).role == graph::Role::parameter && graph.value(content).producer != kNone)
      updates.push_back({state, content, graph.value(content).producer, readers[at(state)]});
  std::stable_sort(updates.begin(), updates.end(), [&](const Update& a, const Update& b) {
    return graph.value(a.parameter).type.bytes() > graph.value(b.parameter).type.bytes();
  });
  return updates;
}

/// Cuts and places the updates of parameters: as the first reader reads them, else into as many tiles as their share of the work asks for.
class UpdatePlacement {
 public:
  UpdatePlacement(const Situation& situation, Plan& plan)
      : s_(situation),
        plan_(plan),
        elements_(situation.graph.parameter_count()),
        load_(at(situation.ranks), 0) {}

  void place(const Update& update) {
    NodePlan& node = plan_.nodes[at(update.node)];
    const auto& rule = s_.factors[at(update.node)].rule;
    node.parts.assign(rule.factors.size(), 1);
    follow_reader(update, rule, node.parts);
    if (std::all_of(node.parts.begin(), node.parts.end(), [](int p) { return p == 1; }))
      cut_large(update, rule, node.parts);
    const auto tiles =
        std::accumulate(node.parts.begin(), node.parts.end(), std::size_t{1}, std::multiplies<>());
    node.owners.assign(tiles, 0);
    if (s_.ranks > 1) choose_owners(update, node);
  }

 private:
  const graph::OperandMap& map_of(const Update& u, const graph::TilingRule& rule) const {
    const auto& outputs = s_.graph.node(u.node).outputs;
    return rule.outputs[at(static_cast<std::int32_t>(
        std::find(outputs.begin(), outputs.end(), u.content) - outputs.begin()))];
  }

  void follow_reader(const Update& u, const graph::TilingRule& rule,
                     std::vector<int>& parts) const {
    if (u.reader.node == kNone) return;
    follow(map_of(u, rule), rule, s_.factors[at(u.reader.node)].rule.inputs[at(u.reader.operand)],
           plan_.nodes[at(u.reader.node)], parts);
  }

  void cut_large(const Update& u, const graph::TilingRule& rule, std::vector<int>& parts) const {
    const auto& written = map_of(u, rule);
    if (written.empty() || written[0].factor < 0) return;
    const auto& factor = rule.factors[at(written[0].factor)];
    const std::int64_t elements = s_.graph.value(u.parameter).type.elements();
    const std::int64_t share =
        elements * s_.ranks * s_.workers / std::max<std::int64_t>(1, elements_);
    if (factor.kind == graph::Factor::Kind::parallel)
      parts[at(written[0].factor)] =
          clamped(std::min(share, elements / kFewestUpdated), factor.extent);
  }

  void choose_owners(const Update& u, NodePlan& node) {
    const auto grid = make_grid(s_.graph, s_.graph.node(u.node), node, s_.ranks);
    const auto& outputs = s_.graph.node(u.node).outputs;
    const auto output = std::find(outputs.begin(), outputs.end(), u.content) - outputs.begin();
    for (std::size_t t = 0; t < grid.tiles(); ++t) {
      const Box& box = grid.outputs[static_cast<std::size_t>(output)][t];
      const auto readers = ranks_that_read(u, box);
      const auto least = std::min_element(load_.begin(), load_.end()) - load_.begin();
      node.owners[t] = readers.size() == 1 ? *readers.begin() : static_cast<int>(least);
      load_[at(node.owners[t])] += box.elements();
    }
  }

  /// Ranks whose tiles of the first reader read exactly `box`.
  std::set<int> ranks_that_read(const Update& u, const Box& box) const {
    std::set<int> ranks;
    if (u.reader.node == kNone) return ranks;
    const auto grid =
        make_grid(s_.graph, s_.graph.node(u.reader.node), plan_.nodes[at(u.reader.node)], s_.ranks);
    for (std::size_t t = 0; t < grid.tiles(); ++t)
      if (grid.inputs[at(u.reader.operand)][t] == box) ranks.insert(grid.ranks[t]);
    return ranks;
  }

  const Situation& s_;
  Plan& plan_;
  std::int64_t elements_;
  std::vector<std::int64_t> load_;  // [rank] elements it updates
};

}  // namespace

Plan apply(const Cutting& cutting, const Situation& situation) {
  Plan plan;
  plan.graph_fingerprint = fmt::format("{:016x}", situation.graph.fingerprint());
  plan.strategy = cutting.name;
  plan.ranks = situation.ranks;
  plan.workers = situation.workers;
  ValueCuts cuts(situation.graph);
  for (std::size_t n = 0; n < situation.factors.size(); ++n) {
    const NodeFactors& node = situation.factors[n];
    const graph::Node& of_graph = situation.graph.nodes()[n];
    std::vector<int> parts = parts_of(cutting, node, [&](const std::vector<int>& data, int wanted) {
      return cutting.follow ? cuts.cheapest_channel(of_graph, node, data, wanted) : node.channel();
    });
    cuts.note(of_graph, node, parts);
    std::vector<int> owners = owners_of(node, parts, situation.ranks);
    plan.nodes.push_back({std::move(parts), std::move(owners)});
  }
  const std::vector<FirstReader> readers = first_readers(situation.graph);
  if (cutting.channels <= 1) follow_readers(situation, readers, plan);
  const auto awaited = awaited_values(situation.graph);
  for (std::size_t n = 0; n < awaited.size(); ++n) plan.nodes[n].after = awaited[n];
  UpdatePlacement placement(situation, plan);
  for (const Update& update : find_updates(situation.graph, readers)) placement.place(update);
  return plan;
}

}  // namespace hpdlf::partition
