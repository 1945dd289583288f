// Operator test cases: a table row says what an operator must compute; op_test.cc checks everything that follows from it.
//
// tests/ops/FAMILY_cases.cc defines `std::vector<OpCase> FAMILY_cases()` (namespace hpdlf::test) for each family of base/op_families.def.
// For every case op_test.cc checks
//   1. inferred output types = `outputs`, and a kernel exists
//   2. every CPU kernel that takes the call = `reference`, on dense and on strided views, and in place where the spec allows it
//   3. the gradient built by graph::differentiate, run by the oracle = central differences of `reference`, by the inputs in `differentiate`
//   4. tiled = whole for every factor that the tiling rule frees (2 and 3 parts, and every two factors at once); elements outside a
//      tile's operand boxes are poisoned, so a kernel that reads outside its box fails
//   5. the cost is positive and less for a part of the call
//   6. accumulate adds to output 0, where the spec says so
// Keep tensors small (an odd size or two, a few thousand elements): a case runs its reference a few dozen times.
//
//   std::vector<OpCase> softmax_cases() {
//     return {{.name = "axis1_3x5x7",
//              .op = "Softmax",
//              .attrs = {{"axis", 1}},
//              .inputs = {{.extents = {3, 5, 7}}},
//              .outputs = {{DType::f32, {3, 5, 7}}},
//              .reference = softmax_reference,
//              .terms = 5,
//              .differentiate = {0}}};
//   }
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/attrs.hpp"
#include "base/dtype.hpp"
#include "base/shape.hpp"
#include "graph/ir.hpp"

namespace hpdlf::test {

/// A dense row-major tensor of doubles, whatever the dtype of the operand it stands for.
struct RefTensor {
  Extents extents;
  std::vector<double> data;

  RefTensor() = default;
  explicit RefTensor(const Extents& e) : extents(e), data(static_cast<std::size_t>(e.elements())) {}
  [[nodiscard]] std::int64_t dim(int i) const { return extents[i < 0 ? extents.rank() + i : i]; }
  [[nodiscard]] std::int64_t elements() const { return static_cast<std::int64_t>(data.size()); }
  /// Element by coordinates, x(n, d, h, w, c) or x.at(index); bounds are checked.
  template <class... Index>
  double& operator()(Index... index) {
    return at(Extents{static_cast<std::int64_t>(index)...});
  }
  template <class... Index>
  double operator()(Index... index) const {
    return at(Extents{static_cast<std::int64_t>(index)...});
  }
  double& at(const Extents& index) { return data[offset(index)]; }
  [[nodiscard]] double at(const Extents& index) const { return data[offset(index)]; }
  /// Element by its number in row-major order.
  double& operator[](std::int64_t i) { return data.at(static_cast<std::size_t>(i)); }
  double operator[](std::int64_t i) const { return data.at(static_cast<std::size_t>(i)); }

 private:
  [[nodiscard]] std::size_t offset(const Extents& index) const;
};

/// Calls `body(index)` for every index of a tensor of these extents, in row-major order.
void for_each_index(const Extents& extents, const std::function<void(const Extents&)>& body);

/// What a reference gets: complete attributes, inputs (exactly the numbers the kernel sees), outputs zeroed, shaped as OpCase::outputs.
struct ReferenceCall {
  Attrs attrs;
  std::vector<RefTensor> inputs, outputs;
  std::uint64_t seed = 0;
  std::int64_t step = 0;

  [[nodiscard]] const RefTensor& in(int i) const { return inputs.at(static_cast<std::size_t>(i)); }
  [[nodiscard]] RefTensor& out(int i) { return outputs.at(static_cast<std::size_t>(i)); }
  [[nodiscard]] bool has_input(int i) const { return static_cast<std::size_t>(i) < inputs.size(); }
};
using Reference = std::function<void(ReferenceCall&)>;

/// How the elements of an input are drawn; seeded by case name and input, the same on every run.
struct Draw {
  enum class Kind : std::uint8_t {
    uniform,   ///< in [a, b)
    nonzero,   ///< |x| in [a, b), either sign: for kinks at 0
    distinct,  ///< spread evenly over (a, b) in random order, no two alike: for maxima
    labels,    ///< integers 0 .. a-1
    constant,  ///< a
  } kind = Kind::uniform;
  double a = -1, b = 1;

  [[nodiscard]] static Draw uniform(double low, double high) { return {Kind::uniform, low, high}; }
  [[nodiscard]] static Draw positive() { return {Kind::uniform, 0.5, 1.5}; }
  [[nodiscard]] static Draw nonzero() { return {Kind::nonzero, 0.1, 1}; }
  [[nodiscard]] static Draw distinct() { return {Kind::distinct, -1, 1}; }
  [[nodiscard]] static Draw labels(std::int64_t classes) {
    return {Kind::labels, static_cast<double>(classes), 0};
  }
  [[nodiscard]] static Draw constant(double value) { return {Kind::constant, value, 0}; }
};

struct InputCase {
  DType dtype = DType::f32;
  Extents extents = {};
  Draw draw = {};
};

struct OpCase {
  std::string name;  ///< letters, digits, _ ; unique for the operator: "s2_3x5x7"
  std::string op;
  Attrs attrs = {};  ///< as a user gives them; defaults are filled in
  std::vector<InputCase> inputs = {};
  std::vector<graph::TensorType> outputs = {};  ///< expected, worked out by hand
  Reference reference = {};

  /// Products or terms summed for one output element: error bounds grow with its square root.
  std::int64_t terms = 1;
  /// Multiplies the error bound: an approximated function, a fast convolution algorithm, cancellation.
  double slack = 1;
  /// Inputs whose gradient is compared with finite differences of `reference`; empty: none. Not for integers, nor at kinks (see Draw).
  std::vector<int> differentiate = {};
  /// Overwrites inputs that are functions of others (statistics of x). Called after drawing and after each perturbation of the finite
  /// differences, which thus see the whole derivative.
  std::function<void(std::vector<RefTensor>& inputs)> derive = {};
  /// Not empty: shape inference or the kernel must throw an Error whose message contains this, and nothing else is checked.
  std::string error = {};
};

/// The case with these operands in bf16. Without bf16 outputs nothing but the inputs is rounded: the bound stays that of f32.
[[nodiscard]] OpCase in_bf16(OpCase op_case, const std::vector<std::size_t>& inputs,
                             const std::vector<std::size_t>& outputs);

#define HPDLF_OP_FAMILY(family) std::vector<OpCase> family##_cases();
#include "base/op_families.def"
#undef HPDLF_OP_FAMILY

/// The cases of all families, in order of family.
[[nodiscard]] const std::vector<OpCase>& all_op_cases();

}  // namespace hpdlf::test
