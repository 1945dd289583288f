// Cases of elementwise arithmetic and sums.
#include <algorithm>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

using Function = double (*)(double a, double b);

double add(double a, double b) { return a + b; }
double sub(double a, double b) { return a - b; }
double mul(double a, double b) { return a * b; }
double div(double a, double b) { return a / b; }

/// The element of an operand that broadcasts to `index` of the result.
double broadcast_at(const RefTensor& x, const Extents& index) {
  Extents own;
  for (int i = index.rank() - x.extents.rank(); i < index.rank(); ++i)
    own.push_back(x.dim(own.rank()) == 1 ? 0 : index[i]);
  return x.at(own);
}

void add_case(std::vector<OpCase>& cases, const std::string& op, Function f,
              const std::string& name, const Extents& a, const Extents& b, const Extents& y,
              DType dtype = DType::f32) {
  cases.push_back(
      {.name = name,
       .op = op,
       .inputs = {{.dtype = dtype, .extents = a},
                  {.dtype = dtype, .extents = b, .draw = Draw::positive()}},
       .outputs = {{dtype, y}},
       .reference =
           [f](ReferenceCall& call) {
             for_each_index(call.out(0).extents, [&](const Extents& i) {
               call.out(0).at(i) = f(broadcast_at(call.in(0), i), broadcast_at(call.in(1), i));
             });
           },
       .slack = op == "Div" ? 4.0 : 1.0,  // its gradient by b multiplies three numbers up to 2
       .differentiate = dtype == DType::f32 ? std::vector{0, 1} : std::vector<int>{}});
}

void add_binary_cases(std::vector<OpCase>& cases, const std::string& op, Function f) {
  add_case(cases, op, f, "same_2x3x5x7x5", {2, 3, 5, 7, 5}, {2, 3, 5, 7, 5}, {2, 3, 5, 7, 5});
  add_case(cases, op, f, "scalars", {}, {}, {});
  add_case(cases, op, f, "right_scalar_3x5x9", {3, 5, 9}, {}, {3, 5, 9});
  add_case(cases, op, f, "left_scalar_3x5x9", {1}, {3, 5, 9}, {3, 5, 9});
  add_case(cases, op, f, "right_channels_2x3x5x7x16", {2, 3, 5, 7, 16}, {16}, {2, 3, 5, 7, 16});
  add_case(cases, op, f, "left_channels_3x5x7x5", {5}, {3, 5, 7, 5}, {3, 5, 7, 5});
  add_case(cases, op, f, "sample_channels_3x5x7x33", {3, 5, 7, 33}, {3, 1, 1, 33}, {3, 5, 7, 33});
  add_case(cases, op, f, "mask_2x5x7x6", {2, 5, 7, 6}, {2, 5, 7, 1}, {2, 5, 7, 6});
  add_case(cases, op, f, "outer_product_9x11", {9, 1}, {11}, {9, 11});
  add_case(cases, op, f, "middle_3x5x7", {3, 1, 7}, {1, 5, 7}, {3, 5, 7});
}

template <int count>
OpCase sum(const std::string& name, const Extents& x, DType dtype) {
  return {.name = name,
          .op = "Sum",
          .inputs = std::vector<InputCase>(count, {.dtype = dtype, .extents = x}),
          .outputs = {{dtype, x}},
          .reference =
              [](ReferenceCall& call) {
                for (const auto& term : call.inputs)
                  for (std::int64_t i = 0; i < term.elements(); ++i) call.out(0)[i] += term[i];
              },
          .terms = count,
          .differentiate = dtype == DType::f32 ? std::vector{0, count - 1} : std::vector<int>{}};
}

}  // namespace

std::vector<OpCase> binary_cases() {
  std::vector<OpCase> cases;
  add_binary_cases(cases, "Add", add);
  add_binary_cases(cases, "Sub", sub);
  add_binary_cases(cases, "Mul", mul);
  add_binary_cases(cases, "Div", div);
  add_case(cases, "Add", add, "bf16_3x5x17", {3, 5, 17}, {3, 5, 17}, {3, 5, 17}, DType::bf16);
  add_case(cases, "Mul", mul, "bf16_channels_3x5x17", {3, 5, 17}, {17}, {3, 5, 17}, DType::bf16);
  cases.push_back(sum<2>("two_f32_3x5x7", {3, 5, 7}, DType::f32));
  cases.push_back(sum<7>("seven_f32_2x3x5x7x5", {2, 3, 5, 7, 5}, DType::f32));
  cases.push_back(sum<3>("three_f64_2x2x17", {2, 2, 17}, DType::f64));
  cases.push_back(sum<3>("three_bf16_5x19", {5, 19}, DType::bf16));
  cases.push_back({.name = "do_not_broadcast",
                   .op = "Add",
                   .inputs = {{.extents = {2, 5}}, {.extents = {4}}},
                   .error = "operands f32[2,5] and f32[4] do not broadcast: dimension 1 of the "
                            "result would be 5 and 4"});
  cases.push_back({.name = "other_types",
                   .op = "Mul",
                   .inputs = {{.extents = {5}}, {.dtype = DType::bf16, .extents = {5}}},
                   .error = "operands are f32[5] and bf16[5]"});
  cases.push_back({.name = "other_extents",
                   .op = "Sum",
                   .inputs = {{.extents = {5}}, {.extents = {4}}},
                   .error = "operands are f32[5] and f32[4]; those of a Sum must be alike"});
  return cases;
}

}  // namespace hpdlf::test
