#include "partition/strategies/value_cuts.hpp"

#include <algorithm>

namespace hpdlf::partition {
namespace {

using graph::Factor;
using graph::OperandMap;
using graph::TilingRule;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

std::vector<int> parts_of(const OperandMap& operand, const std::vector<int>& parts) {
  std::vector<int> result;
  for (const auto& dim : operand) result.push_back(dim.factor < 0 ? 1 : parts[at(dim.factor)]);
  return result;
}

/// Each of the needed parts lies in one of those that there are.
bool is_finer(const std::vector<int>& needed, const std::vector<int>& have) {
  return std::equal(needed.begin(), needed.end(), have.begin(),
                    [](int n, int h) { return n % h == 0; });
}

/// Tiles that add to the same part of an output.
int terms_of(const OperandMap& output, const std::vector<int>& parts) {
  int terms = 1;
  for (std::size_t f = 0; f < parts.size(); ++f)
    if (TilingRule::is_missing(output, static_cast<int>(f))) terms *= parts[f];
  return terms;
}

}  // namespace

bool ValueCuts::is_cut_along(const graph::Node& node, const NodeFactors& factors,
                             int factor) const {
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Parts& cut = cuts_[at(node.inputs[i])];
    for (std::size_t dim = 0; dim < cut.size(); ++dim)
      if (cut[dim] > 1 && factors.rule.inputs[i][dim].factor == factor) return true;
  }
  return false;
}

/// Read and written: by the copies that put an input's parts together, and by what sums an output's terms.
double ValueCuts::moved_bytes(const graph::Node& node, const NodeFactors& factors,
                              const std::vector<int>& parts) const {
  const auto bytes = [&](graph::ValueId v) {
    return static_cast<double>(graph_.value(v).type.bytes());
  };
  double moved = 0;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Parts& have = cuts_[at(node.inputs[i])];
    if (!have.empty() && !is_finer(parts_of(factors.rule.inputs[i], parts), have))
      moved += 2 * bytes(node.inputs[i]);
  }
  for (std::size_t o = 0; o < node.outputs.size(); ++o)
    if (const int terms = terms_of(factors.rule.outputs[o], parts); terms > 1)
      moved += 2 * terms * bytes(node.outputs[o]);
  return moved;
}

int ValueCuts::cheapest_channel(const graph::Node& node, const NodeFactors& factors,
                                const std::vector<int>& parts, int wanted) const {
  const auto cost = [&](int factor) {
    std::vector<int> cut = parts;
    cut[at(factor)] = wanted;
    return moved_bytes(node, factors, cut);
  };
  // Terms are summed in the type of the output: bf16 would be rounded once more.
  const bool may_sum = std::all_of(node.outputs.begin(), node.outputs.end(), [&](auto v) {
    return graph_.value(v).type.dtype != DType::bf16;
  });
  int best = factors.channel();
  double least = best < 0 ? 0 : cost(best);
  for (int f = 0; f < static_cast<int>(factors.roles.size()); ++f) {
    const Factor& factor = factors.rule.factors[at(f)];
    if (factors.is_data(f) || factor.kind == Factor::Kind::whole || factor.extent < wanted ||
        (factor.kind == Factor::Kind::summed && !may_sum) || !is_cut_along(node, factors, f))
      continue;
    if (const double c = cost(f); best < 0 || c < least) {
      best = f;
      least = c;
    }
  }
  return best;
}

void ValueCuts::note(const graph::Node& node, const NodeFactors& factors,
                     const std::vector<int>& parts) {
  for (std::size_t o = 0; o < node.outputs.size(); ++o)
    cuts_[at(node.outputs[o])] = parts_of(factors.rule.outputs[o], parts);
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    Parts& cut = cuts_[at(node.inputs[i])];
    if (cut.empty() && graph_.value(node.inputs[i]).role == graph::Role::parameter)
      cut = parts_of(factors.rule.inputs[i], parts);
  }
}

}  // namespace hpdlf::partition
