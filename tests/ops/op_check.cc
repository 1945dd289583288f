#include "tests/ops/op_check.hpp"

#include <cmath>

#include "support/kernel_call.hpp"
#include "support/tolerance.hpp"

namespace hpdlf::test {
namespace {

DType coarsest_float(const graph::OpCall& call) {
  DType coarsest = DType::f64;
  for (const auto* types : {&call.inputs, &call.outputs})
    for (const auto& type : *types)
      if (is_float(type.dtype) && unit_error("cpu", type.dtype) > unit_error("cpu", coarsest))
        coarsest = type.dtype;
  return coarsest;
}

std::vector<TensorView> views_of(std::vector<Operand>& operands) {
  std::vector<TensorView> views;
  for (auto& operand : operands) views.push_back(operand.view());
  return views;
}

std::vector<Operand> empty_outputs(const graph::OpCall& call, std::int64_t padding = 0) {
  std::vector<Operand> outputs;
  for (const auto& type : call.outputs) outputs.emplace_back(type, padding);
  return outputs;
}

}  // namespace

CheckedCase::CheckedCase(const OpCase& op_case) : case_(op_case) {
  const graph::OpSpec& spec = graph::op_registry().at(op_case.op);
  attrs_ = graph::complete_attrs(spec, op_case.attrs);
  call_ = {.spec = &spec, .attrs = &attrs_, .inputs = {}, .outputs = {}};
  for (const auto& input : op_case.inputs) call_.inputs.push_back({input.dtype, input.extents});
  spec.infer(call_);
  HPDLF_CHECK(call_.outputs.size() == op_case.outputs.size(),
              "inference gives {} outputs, the case expects {}", call_.outputs.size(),
              op_case.outputs.size());
  for (std::size_t i = 0; i < call_.outputs.size(); ++i)
    HPDLF_CHECK(call_.outputs[i] == op_case.outputs[i],
                "output {} is inferred as {}, the case expects {}", i, to_string(call_.outputs[i]),
                to_string(op_case.outputs[i]));
  rule_ = graph::tiling_rule(call_);
  rounding_ = coarsest_float(call_);
  inputs_ = draw_inputs(op_case);
  expected_ = reference_outputs(inputs_);
}

std::vector<RefTensor> CheckedCase::reference_outputs(const std::vector<RefTensor>& inputs) const {
  ReferenceCall call{
      .attrs = attrs_, .inputs = inputs, .outputs = {}, .seed = kSeed, .step = kStep};
  for (const auto& type : call_.outputs) call.outputs.emplace_back(type.extents);
  case_.reference(call);
  return std::move(call.outputs);
}

std::vector<Operand> CheckedCase::input_operands(std::int64_t padding) const {
  std::vector<Operand> operands;
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    operands.emplace_back(call_.inputs[i], inputs_[i], padding);
  return operands;
}

testing::AssertionResult CheckedCase::is_expected(const RefTensor& actual,
                                                  std::size_t output) const {
  return is_near(actual, expected_[output],
                 is_float(call_.outputs[output].dtype) ? rounding_ : call_.outputs[output].dtype,
                 case_.terms, case_.slack);
}

void CheckedCase::run(const codelets::Kernel* kernel, std::vector<TensorView> inputs,
                      std::vector<TensorView> outputs, bool accumulate) const {
  const codelets::KernelArgs args{.inputs = inputs,
                                  .outputs = outputs,
                                  .attrs = &attrs_,
                                  .accumulate = accumulate,
                                  .workspace = {},
                                  .seed = kSeed,
                                  .step = kStep};
  if (kernel != nullptr)
    run_kernel(*kernel, args);
  else
    run_kernel(case_.op, args);
}

void CheckedCase::check_kernels(std::int64_t padding) const {
  int kernels = 0;
  for (const auto& kernel : codelets::kernel_registry().find(case_.op, "cpu")) {
    std::vector<Operand> inputs = input_operands(padding);
    std::vector<Operand> outputs = empty_outputs(call_, padding);
    const std::vector<TensorView> input_views = views_of(inputs);
    const std::vector<TensorView> output_views = views_of(outputs);
    const codelets::KernelArgs args{
        .inputs = input_views, .outputs = output_views, .attrs = &attrs_};
    if (kernel.supports != nullptr && !kernel.supports(args)) continue;
    ++kernels;
    run(&kernel, input_views, output_views);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_TRUE(is_expected(content(outputs[i], call_.outputs[i].extents), i))
          << "kernel " << kernel.variant << ", output " << i;
      EXPECT_TRUE(outputs[i].is_untouched_outside(Box::whole(call_.outputs[i].extents)))
          << "kernel " << kernel.variant << " wrote between the rows of output " << i;
    }
  }
  EXPECT_GT(kernels, 0) << "no CPU kernel takes the call";
}

void CheckedCase::check_in_place() const {
  for (const auto& [output, input] : spec().in_place) {
    if (static_cast<std::size_t>(input) >= inputs_.size()) continue;
    std::vector<Operand> inputs = input_operands();
    std::vector<Operand> outputs = empty_outputs(call_);
    std::vector<TensorView> output_views = views_of(outputs);
    Operand& shared = inputs[static_cast<std::size_t>(input)];
    const auto index = static_cast<std::size_t>(output);
    if (call_.inputs[static_cast<std::size_t>(input)] != call_.outputs[index])
      continue;  // a broadcast operand has no room
    output_views[index] = shared.view();
    run(nullptr, views_of(inputs), output_views);
    EXPECT_TRUE(is_expected(content(shared, call_.outputs[index].extents), index))
        << "output " << output << " in input " << input;
  }
}

void CheckedCase::check_accumulate() const {
  const graph::TensorType& type = call_.outputs[0];
  const RefTensor before = draw_uniform(type, "accumulate");
  std::vector<Operand> inputs = input_operands();
  std::vector<Operand> outputs = empty_outputs(call_);
  outputs[0] = Operand(type, before);
  run(nullptr, views_of(inputs), views_of(outputs), true);
  RefTensor sum = expected_[0];
  for (std::int64_t i = 0; i < sum.elements(); ++i) sum[i] += before[i];
  EXPECT_TRUE(is_near(content(outputs[0], type.extents), sum, rounding_, case_.terms, case_.slack));
}

std::vector<int> CheckedCase::free_factors(std::int64_t parts) const {
  std::vector<int> factors;
  for (std::size_t i = 0; i < rule_.factors.size(); ++i)
    if (rule_.factors[i].kind != graph::Factor::Kind::whole && rule_.factors[i].extent >= parts)
      factors.push_back(static_cast<int>(i));
  return factors;
}

struct CheckedCase::Totals {
  std::vector<RefTensor> outputs;
  std::vector<std::vector<int>> writes;  // [output][element]
};

// Inputs hold poison outside the tile's boxes. A tile that is not the first of its output region gives a partial sum: it is added
// by the kernel where that can, else here.
void CheckedCase::run_tile(const Box& tile, const std::vector<int>& coordinate,
                           Totals& totals) const {
  std::vector<Operand> inputs, outputs;
  std::vector<TensorView> input_views, output_views;
  inputs.reserve(inputs_.size());
  outputs.reserve(expected_.size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Box region =
        graph::TilingRule::operand_box(rule_.inputs[i], tile, call_.inputs[i].extents);
    inputs.emplace_back(call_.inputs[i], inputs_[i], region);
    input_views.push_back(inputs.back().view(region));
  }
  std::vector<Box> regions;
  bool accumulate = false;
  for (std::size_t i = 0; i < expected_.size(); ++i) {
    const graph::TensorType& type = call_.outputs[i];
    regions.push_back(graph::TilingRule::operand_box(rule_.outputs[i], tile, type.extents));
    bool is_first = true;
    for (std::size_t f = 0; f < coordinate.size(); ++f)
      is_first = is_first && (coordinate[f] == 0 || !graph::TilingRule::is_missing(
                                                        rule_.outputs[i], static_cast<int>(f)));
    const bool adds = i == 0 && !is_first && spec().accumulates;
    outputs.push_back(adds ? Operand(type, totals.outputs[i], regions[i]) : Operand(type));
    output_views.push_back(outputs.back().view(regions[i]));
    accumulate = accumulate || adds;
  }
  run(nullptr, input_views, output_views, accumulate);

  for (std::size_t i = 0; i < expected_.size(); ++i) {
    EXPECT_TRUE(outputs[i].is_untouched_outside(regions[i]))
        << "tile " << to_string(tile) << " wrote outside its part of output " << i;
    const bool adds = i == 0 && accumulate;
    for_each_index(regions[i].extents(), [&](Extents index) {
      for (int d = 0; d < index.rank(); ++d) index[d] += regions[i].lo[d];
      double& total = totals.outputs[i].at(index);
      total = adds ? outputs[i].at(index) : total + outputs[i].at(index);
      const std::int64_t at = &total - totals.outputs[i].data.data();
      ++totals.writes[i][static_cast<std::size_t>(at)];
    });
  }
}

void CheckedCase::check_tiling(const std::vector<int>& parts) const {
  Totals totals;
  for (const auto& output : expected_) {
    totals.outputs.emplace_back(output.extents);
    totals.writes.emplace_back(output.data.size(), 0);
  }
  Extents grid;
  for (const int n : parts) grid.push_back(n);
  for_each_index(grid, [&](const Extents& coordinate) {
    Box tile = rule_.iteration_space();
    for (int f = 0; f < tile.rank(); ++f) {
      const std::int64_t extent = rule_.factors[static_cast<std::size_t>(f)].extent;
      tile.lo[f] = cut(extent, grid[f], coordinate[f]);
      tile.hi[f] = cut(extent, grid[f], coordinate[f] + 1);
    }
    run_tile(tile, {coordinate.begin(), coordinate.end()}, totals);
  });
  for (std::size_t i = 0; i < expected_.size(); ++i) {
    int sums = 1;
    for (std::size_t f = 0; f < parts.size(); ++f)
      if (graph::TilingRule::is_missing(rule_.outputs[i], static_cast<int>(f))) sums *= parts[f];
    for (const int writes : totals.writes[i])
      ASSERT_EQ(writes, sums) << "tiles that write an element of output " << i;
    EXPECT_TRUE(is_expected(totals.outputs[i], i)) << "output " << i;
  }
}

graph::OpCall CheckedCase::part_of_call(const Box& tile) const {
  graph::OpCall part = call_;
  for (std::size_t i = 0; i < part.inputs.size(); ++i)
    part.inputs[i].extents =
        graph::TilingRule::operand_box(rule_.inputs[i], tile, call_.inputs[i].extents).extents();
  for (std::size_t i = 0; i < part.outputs.size(); ++i)
    part.outputs[i].extents =
        graph::TilingRule::operand_box(rule_.outputs[i], tile, call_.outputs[i].extents).extents();
  return part;
}

void CheckedCase::check_cost() const {
  const graph::Cost whole = spec().cost(call_);
  const double work = whole.flops + whole.bytes_read + whole.bytes_written;
  EXPECT_TRUE(std::isfinite(work) && whole.flops >= 0 && whole.bytes_read >= 0 &&
              whole.bytes_written > 0)
      << whole.flops << " flops, " << whole.bytes_read << " bytes read, " << whole.bytes_written
      << " bytes written";
  for (const int factor : free_factors(2)) {
    Box half = rule_.iteration_space();
    half.hi[factor] /= 2;
    const graph::Cost part = spec().cost(part_of_call(half));
    EXPECT_LT(part.flops + part.bytes_read + part.bytes_written, work)
        << "half of factor " << rule_.factors[static_cast<std::size_t>(factor)].letter;
  }
}

}  // namespace hpdlf::test
