#include "partition/kernel_call.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace hpdlf::partition {
namespace {

Box not_empty(Box box, const Extents& whole) {
  for (int i = 0; i < box.rank(); ++i) {
    if (box.hi[i] > box.lo[i] || whole[i] == 0) continue;
    box.lo[i] = std::min(box.lo[i], whole[i] - 1);
    box.hi[i] = box.lo[i] + 1;
  }
  return box;
}

std::string to_string(const std::vector<KernelCall::Operand>& operands) {
  std::string text;
  for (const auto& operand : operands)
    text += fmt::format(" {}{}", name_of(operand.dtype), hpdlf::to_string(operand.box.extents()));
  return text;
}

/// Factors of the dimensions of operand 0 without the last: a product's rows.
std::vector<int> row_factors(const graph::TilingRule& rule) {
  const graph::OperandMap& first = rule.inputs.empty() ? rule.outputs[0] : rule.inputs[0];
  std::vector<int> factors;
  for (std::size_t i = 0; i + 1 < first.size(); ++i)
    if (first[i].factor >= 0) factors.push_back(first[i].factor);
  return factors;
}

}  // namespace

KernelCall kernel_call(const graph::OpCall& whole, const graph::TilingRule& rule, const Box& tile) {
  KernelCall call{.spec = whole.spec, .attrs = whole.attrs, .inputs = {}, .outputs = {}};
  for (std::size_t i = 0; i < rule.inputs.size(); ++i) {
    const graph::TensorType& type = whole.inputs[i];
    const Box box = graph::TilingRule::operand_box(rule.inputs[i], tile, type.extents);
    call.inputs.push_back({type.dtype, not_empty(box, type.extents), type.extents});
  }
  for (std::size_t o = 0; o < rule.outputs.size(); ++o) {
    const graph::TensorType& type = whole.outputs[o];
    call.outputs.push_back({type.dtype,
                            graph::TilingRule::operand_box(rule.outputs[o], tile, type.extents),
                            type.extents});
  }
  return call;
}

graph::Cost cost_of(const KernelCall& call) {
  graph::OpCall part{call.spec, call.attrs, {}, {}};
  for (const auto& operand : call.inputs)
    part.inputs.push_back({operand.dtype, operand.box.extents()});
  for (const auto& operand : call.outputs)
    part.outputs.push_back({operand.dtype, operand.box.extents()});
  return graph::cost_of(part);
}

std::string to_string(const KernelCall& call) {
  return fmt::format("{} {}:{} ->{}", call.spec->name, hpdlf::to_string(*call.attrs),
                     to_string(call.inputs), to_string(call.outputs));
}

Box sample_of(const graph::TilingRule& rule, const Box& tile,
              const std::function<double(const Box&)>& seconds, double enough) {
  constexpr std::int64_t kRows = 256;   // a product of so many is as fast as one of more
  constexpr std::int64_t kAligned = 4;  // Winograd's tiles stay whole
  const std::vector<int> outer = row_factors(rule);
  Box sample = tile;
  for (int f = 0; f < sample.rank(); ++f) {
    const graph::Factor& factor = rule.factors[static_cast<std::size_t>(f)];
    const std::int64_t extent = tile.hi[f] - tile.lo[f];
    const double now = seconds(sample);
    if (factor.kind != graph::Factor::Kind::whole && extent > 1 && now > enough) {
      std::int64_t rows = 1;
      for (const int row : outer) rows *= sample.hi[row] - sample.lo[row];
      const bool is_outer = std::find(outer.begin(), outer.end(), f) != outer.end();
      const std::int64_t least = is_outer ? (kRows * extent + rows - 1) / rows : kRows;
      auto kept = static_cast<std::int64_t>(static_cast<double>(extent) * enough / now);
      if (kept > kAligned) kept -= kept % kAligned;
      kept = std::clamp<std::int64_t>(kept, std::min(least, extent), extent);
      sample.hi[f] = sample.lo[f] + kept;
    }
    // In the middle, wherever the tile lies.
    const std::int64_t size = sample.hi[f] - sample.lo[f];
    sample.lo[f] = (factor.extent - size) / 2;
    sample.hi[f] = sample.lo[f] + size;
  }
  return sample;
}

}  // namespace hpdlf::partition
