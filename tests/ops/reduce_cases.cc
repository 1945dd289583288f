// Cases of the reductions.
#include <algorithm>
#include <limits>

#include "base/axes.hpp"
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

using Integers = std::vector<std::int64_t>;

/// Index in the reduced tensor of an element of x.
Extents reduced_index(const Extents& index, const Attrs& attrs) {
  const AxisSet reduced = axis_set(attrs.integers("axes"), index.rank());
  const bool keepdims = attrs.integer("keepdims") != 0;
  Extents result;
  for (int i = 0; i < index.rank(); ++i)
    if (!reduced[static_cast<std::size_t>(i)])
      result.push_back(index[i]);
    else if (keepdims)
      result.push_back(0);
  return result;
}

void sum_reference(ReferenceCall& call) {
  for_each_index(call.in(0).extents, [&](const Extents& i) {
    call.out(0).at(reduced_index(i, call.attrs)) += call.in(0).at(i);
  });
}

void sum_square_reference(ReferenceCall& call) {
  for_each_index(call.in(0).extents, [&](const Extents& i) {
    call.out(0).at(reduced_index(i, call.attrs)) += call.in(0).at(i) * call.in(0).at(i);
  });
}

void mean_reference(ReferenceCall& call) {
  sum_reference(call);
  const auto count =
      static_cast<double>(call.in(0).elements()) / static_cast<double>(call.out(0).elements());
  for (auto& y : call.out(0).data) y /= count;
}

void max_reference(ReferenceCall& call) {
  std::fill(call.out(0).data.begin(), call.out(0).data.end(),
            -std::numeric_limits<double>::infinity());
  for_each_index(call.in(0).extents, [&](const Extents& i) {
    double& y = call.out(0).at(reduced_index(i, call.attrs));
    y = std::max(y, call.in(0).at(i));
  });
}

void min_reference(ReferenceCall& call) {
  std::fill(call.out(0).data.begin(), call.out(0).data.end(),
            std::numeric_limits<double>::infinity());
  for_each_index(call.in(0).extents, [&](const Extents& i) {
    double& y = call.out(0).at(reduced_index(i, call.attrs));
    y = std::min(y, call.in(0).at(i));
  });
}

void sum_grad_reference(ReferenceCall& call) {
  for_each_index(call.out(0).extents, [&](const Extents& i) {
    call.out(0).at(i) = call.attrs.real("scale") * call.in(0).at(reduced_index(i, call.attrs));
  });
}

void sum_square_grad_reference(ReferenceCall& call) {
  for_each_index(call.out(0).extents, [&](const Extents& i) {
    call.out(0).at(i) = 2 * call.in(0).at(i) * call.in(1).at(reduced_index(i, call.attrs));
  });
}

void extremum_grad_reference(ReferenceCall& call) {
  RefTensor count(call.in(1).extents);
  const auto is_extremum = [&](const Extents& i) {
    return call.in(0).at(i) == call.in(1).at(reduced_index(i, call.attrs));
  };
  for_each_index(call.out(0).extents, [&](const Extents& i) {
    if (is_extremum(i)) count.at(reduced_index(i, call.attrs)) += 1;
  });
  for_each_index(call.out(0).extents, [&](const Extents& i) {
    const Extents at = reduced_index(i, call.attrs);
    if (is_extremum(i)) call.out(0).at(i) = call.in(2).at(at) / count.at(at);
  });
}

struct Shape {
  std::string name;
  Extents x;
  Integers axes;
  std::int64_t keepdims;
  Extents y;
  DType dtype = DType::f32;
};

std::vector<Shape> shapes() {
  return {
      {"bias_2x3x4x5x5", {2, 3, 4, 5, 5}, {0, 1, 2, 3}, 0, {5}},
      {"bias_1x5x4x7x16", {1, 5, 4, 7, 16}, {0, 1, 2, 3}, 1, {1, 1, 1, 1, 16}},
      {"space_2x5x7x33", {2, 5, 7, 33}, {1, 2}, 0, {2, 33}},
      {"channels_3x4x19", {3, 4, 19}, {-1}, 1, {3, 4, 1}},
      {"middle_3x9x6", {3, 9, 6}, {1}, 0, {3, 6}},
      {"outer_and_inner_3x5x4x7", {3, 5, 4, 7}, {0, 3}, 0, {5, 4}},
      {"samples_3x17x130", {3, 17, 130}, {0}, 0, {17, 130}},
      {"all_4x129", {4, 129}, {}, 0, {}},
      {"f64_2x6x9", {2, 6, 9}, {1}, 1, {2, 1, 9}, DType::f64},
      {"one_element_1x1x3", {1, 1, 3}, {0, 1}, 1, {1, 1, 3}},
  };
}

Attrs attrs_of(const Shape& s) { return {{"axes", s.axes}, {"keepdims", s.keepdims}}; }

void add_reductions(std::vector<OpCase>& cases, const Shape& s) {
  struct Reduction {
    const char* op;
    Reference reference;
    Draw draw;
  };
  const Reduction reductions[] = {{"ReduceSum", sum_reference, {}},
                                  {"ReduceMean", mean_reference, {}},
                                  {"ReduceSumSquare", sum_square_reference, {}},
                                  {"ReduceMax", max_reference, Draw::distinct()},
                                  {"ReduceMin", min_reference, Draw::distinct()}};
  for (const auto& r : reductions)
    cases.push_back({.name = s.name,
                     .op = r.op,
                     .attrs = attrs_of(s),
                     .inputs = {{.dtype = s.dtype, .extents = s.x, .draw = r.draw}},
                     .outputs = {{s.dtype, s.y}},
                     .reference = r.reference,
                     .terms = s.x.elements() / s.y.elements(),
                     .differentiate = {0}});
}

void add_gradients(std::vector<OpCase>& cases, const Shape& s) {
  Attrs attrs = attrs_of(s);
  cases.push_back(
      {.name = s.name,
       .op = "ReduceSumSquareGrad",
       .attrs = attrs,
       .inputs = {{.dtype = s.dtype, .extents = s.x}, {.dtype = s.dtype, .extents = s.y}},
       .outputs = {{s.dtype, s.x}},
       .reference = sum_square_grad_reference});
  cases.push_back({.name = s.name + "_ties",
                   .op = "ReduceExtremumGrad",
                   .attrs = attrs,
                   .inputs = {{.dtype = s.dtype, .extents = s.x, .draw = Draw::labels(3)},
                              {.dtype = s.dtype, .extents = s.y},
                              {.dtype = s.dtype, .extents = s.y}},
                   .outputs = {{s.dtype, s.x}},
                   .reference = extremum_grad_reference,
                   .derive = [attrs](std::vector<RefTensor>& inputs) {
                     ReferenceCall call{.attrs = attrs,
                                        .inputs = {inputs[0]},
                                        .outputs = {RefTensor(inputs[1].extents)}};
                     max_reference(call);
                     inputs[1] = call.outputs[0];
                   }});
  attrs.set("input_shape", Integers(s.x.begin(), s.x.end()));
  attrs.set("scale", 0.375);
  cases.push_back({.name = s.name,
                   .op = "ReduceSumGrad",
                   .attrs = attrs,
                   .inputs = {{.dtype = s.dtype, .extents = s.y}},
                   .outputs = {{s.dtype, s.x}},
                   .reference = sum_grad_reference});
}

}  // namespace

std::vector<OpCase> reduce_cases() {
  std::vector<OpCase> cases;
  for (const auto& s : shapes()) {
    add_reductions(cases, s);
    add_gradients(cases, s);
  }
  // Enough rows that whole periods, blocks and rests of the accumulators all occur; too large for finite differences.
  cases.push_back({.name = "long_1x9x11x13x5",
                   .op = "ReduceSum",
                   .attrs = {{"axes", Integers{1, 2, 3}}, {"keepdims", std::int64_t{0}}},
                   .inputs = {{.extents = {1, 9, 11, 13, 5}}},
                   .outputs = {{DType::f32, {1, 5}}},
                   .reference = sum_reference,
                   .terms = 9 * 11 * 13});
  cases.push_back(in_bf16(cases.back(), {0}, {}));
  cases.push_back({.name = "wide_2x5003",
                   .op = "ReduceSum",
                   .attrs = {{"axes", Integers{0}}},
                   .inputs = {{.extents = {2, 5003}}},
                   .outputs = {{DType::f32, {1, 5003}}},
                   .reference = sum_reference,
                   .terms = 2});
  cases.push_back(in_bf16(cases.back(), {0}, {}));
  cases.push_back({.name = "all_3x5x7",
                   .op = "ReduceSum",
                   .inputs = {{DType::bf16, {3, 5, 7}}},
                   .outputs = {{DType::f32, {1, 1, 1}}},
                   .reference = sum_reference,
                   .terms = 3 * 5 * 7,
                   .differentiate = {0}});
  cases.push_back({.name = "unknown_axis",
                   .op = "ReduceSum",
                   .attrs = {{"axes", Integers{3}}},
                   .inputs = {{.extents = {2, 3, 4}}},
                   .error = "axis 3 of a tensor of rank 3"});
  cases.push_back({.name = "axis_twice",
                   .op = "ReduceMax",
                   .attrs = {{"axes", Integers{1, -2}}},
                   .inputs = {{.extents = {2, 3, 4}}},
                   .error = "names axis -2 twice"});
  cases.push_back({.name = "integers",
                   .op = "ReduceSum",
                   .inputs = {{.dtype = DType::i32, .extents = {2, 3}}},
                   .error = "reductions take f32 and f64"});
  return cases;
}

}  // namespace hpdlf::test
