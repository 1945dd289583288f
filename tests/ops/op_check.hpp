// What op_test.cc checks of one operator case, apart from GoogleTest's bookkeeping.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "codelets/kernel.hpp"
#include "graph/op_spec.hpp"
#include "graph/tiling_rule.hpp"
#include "tests/ops/operand.hpp"

namespace hpdlf::test {

/// What random operators and their references draw by.
inline constexpr std::uint64_t kSeed = 17;
inline constexpr std::int64_t kStep = 3;

/// A case with everything that follows from it: the call, the inputs drawn, the outputs that the reference gives.
class CheckedCase {
 public:
  /// @throws Error if shape inference rejects the case.
  explicit CheckedCase(const OpCase& op_case);
  CheckedCase(const CheckedCase&) = delete;
  CheckedCase& operator=(const CheckedCase&) = delete;

  [[nodiscard]] const graph::OpSpec& spec() const { return *call_.spec; }
  [[nodiscard]] const graph::OpCall& call() const { return call_; }
  /// Factors that may be cut and have at least `parts` indices.
  [[nodiscard]] std::vector<int> free_factors(std::int64_t parts) const;

  /// Every CPU kernel that takes the call gives the reference's outputs; `padding` as for Operand.
  void check_kernels(std::int64_t padding) const;
  /// Output 0 in the storage of the input that the spec names, for each pair.
  void check_in_place() const;
  /// Output 0 = what was there + the reference's.
  void check_accumulate() const;
  /// The outputs put together from tiles = the reference's. @param parts pieces a factor.
  void check_tiling(const std::vector<int>& parts) const;
  /// The cost of the call is positive, and that of a half of it less.
  void check_cost() const;
  /// Gradients by OpCase::differentiate = central differences of the reference.
  void check_gradient() const;

 private:
  struct Totals;  // outputs put together from tiles

  /// Runs `kernel`, or the one that the registry selects if it is nullptr.
  void run(const codelets::Kernel* kernel, std::vector<TensorView> inputs,
           std::vector<TensorView> outputs, bool accumulate = false) const;
  void run_tile(const Box& tile, const std::vector<int>& coordinate, Totals& totals) const;
  [[nodiscard]] std::vector<RefTensor> reference_outputs(
      const std::vector<RefTensor>& inputs) const;
  [[nodiscard]] std::vector<Operand> input_operands(std::int64_t padding = 0) const;
  [[nodiscard]] testing::AssertionResult is_expected(const RefTensor& actual,
                                                     std::size_t output) const;
  [[nodiscard]] graph::OpCall part_of_call(const Box& tile) const;

  [[nodiscard]] std::vector<RefTensor> computed_gradients(
      const std::vector<RefTensor>& directions) const;
  /// A gradient may come from it.
  [[nodiscard]] bool is_differentiable(std::size_t output) const;
  /// d/ds of sum over outputs of <direction, reference(input + s * step)> at s = 0.
  [[nodiscard]] double difference_quotient(int input, const RefTensor& step,
                                           const std::vector<RefTensor>& directions) const;

  const OpCase& case_;
  Attrs attrs_;
  graph::OpCall call_;
  graph::TilingRule rule_;
  DType rounding_;  // coarsest float type of the call
  std::vector<RefTensor> inputs_, expected_;
};

}  // namespace hpdlf::test
