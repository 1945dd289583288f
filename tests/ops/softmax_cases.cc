// Cases of Softmax.
#include <algorithm>
#include <cmath>

#include "base/axes.hpp"
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

/// body(index of element 0 of a vector along the axis, axis) for every such vector.
template <class Body>
void for_each_vector(const ReferenceCall& call, const Body& body) {
  Extents starts = call.in(0).extents;
  const int axis = normalized_axis(call.attrs.integer("axis"), starts.rank());
  starts[axis] = 1;
  for_each_index(starts, [&](const Extents& start) { body(start, axis); });
}

void softmax_reference(ReferenceCall& call) {
  for_each_vector(call, [&](Extents i, int axis) {
    double sum = 0, most = call.in(0).at(i);
    for (i[axis] = 0; i[axis] < call.in(0).dim(axis); ++i[axis])
      most = std::max(most, call.in(0).at(i));
    for (i[axis] = 0; i[axis] < call.in(0).dim(axis); ++i[axis])
      sum += std::exp(call.in(0).at(i) - most);
    for (i[axis] = 0; i[axis] < call.in(0).dim(axis); ++i[axis])
      call.out(0).at(i) = std::exp(call.in(0).at(i) - most) / sum;
  });
}

void softmax_grad_reference(ReferenceCall& call) {
  for_each_vector(call, [&](Extents i, int axis) {
    double dot = 0;
    for (i[axis] = 0; i[axis] < call.in(0).dim(axis); ++i[axis])
      dot += call.in(0).at(i) * call.in(1).at(i);
    for (i[axis] = 0; i[axis] < call.in(0).dim(axis); ++i[axis])
      call.out(0).at(i) = call.in(0).at(i) * (call.in(1).at(i) - dot);
  });
}

void add_cases(std::vector<OpCase>& cases, const std::string& name, const Extents& x,
               std::int64_t axis, const Draw& draw) {
  const Attrs attrs = {{"axis", axis}};
  const std::int64_t k = x[normalized_axis(axis, x.rank())];
  cases.push_back({.name = name,
                   .op = "Softmax",
                   .attrs = attrs,
                   .inputs = {{.extents = x, .draw = draw}},
                   .outputs = {{DType::f32, x}},
                   .reference = softmax_reference,
                   .terms = k,
                   .differentiate = {0}});
  cases.push_back({.name = name,
                   .op = "SoftmaxGrad",
                   .attrs = attrs,
                   .inputs = {{.extents = x, .draw = Draw::uniform(0, 1)}, {.extents = x}},
                   .outputs = {{DType::f32, x}},
                   .reference = softmax_grad_reference,
                   .terms = k,
                   .slack = 2});
}

}  // namespace

std::vector<OpCase> softmax_cases() {
  std::vector<OpCase> cases;
  const Draw draw = Draw::uniform(-4, 4);
  add_cases(cases, "few_classes_2x3x5x7x5", {2, 3, 5, 7, 5}, -1, draw);
  add_cases(cases, "two_classes_19x2", {19, 2}, -1, draw);
  add_cases(cases, "one_class_19x1", {19, 1}, -1, draw);
  add_cases(cases, "long_3x11x131", {3, 11, 131}, 2, draw);
  add_cases(cases, "long_all_negative_5x33", {5, 33}, 1, Draw::uniform(-9, -5));
  add_cases(cases, "vector_37", {37}, 0, draw);
  add_cases(cases, "axis1_3x5x7x9", {3, 5, 7, 9}, 1, draw);
  add_cases(cases, "axis0_41x3", {41, 3}, 0, draw);
  add_cases(cases, "far_apart_9x6", {9, 6}, -1, Draw::uniform(-300, 300));
  cases.push_back({.name = "no_such_axis",
                   .op = "Softmax",
                   .attrs = {{"axis", std::int64_t{2}}},
                   .inputs = {{.extents = {3, 4}}},
                   .error = "axis 2"});
  return cases;
}

}  // namespace hpdlf::test
