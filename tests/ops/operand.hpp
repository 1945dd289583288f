// Operands of a case in memory: drawn, stored in the operand's dtype, viewed as a kernel sees them, compared.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "base/tensor_view.hpp"
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {

/// The inputs of a case: drawn, derived, and rounded to their dtypes.
[[nodiscard]] std::vector<RefTensor> draw_inputs(const OpCase& op_case);
/// Numbers of `type` in [-1, 1), keyed by `name`.
[[nodiscard]] RefTensor draw_uniform(const graph::TensorType& type, const std::string& name);

/// A tensor in memory of its own. What is not (yet) written holds poison: bytes 0x7f, huge as a float, out of range as a label.
class Operand {
 public:
  /// All poison; `padding` extra elements along every dimension but the innermost and the outermost make the view strided.
  explicit Operand(const graph::TensorType& type, std::int64_t padding = 0);
  /// Holds `values` in `region` and poison elsewhere.
  Operand(const graph::TensorType& type, const RefTensor& values, const Box& region,
          std::int64_t padding = 0);
  Operand(const graph::TensorType& type, const RefTensor& values, std::int64_t padding = 0)
      : Operand(type, values, Box::whole(type.extents), padding) {}
  Operand(Operand&&) = default;  // not copyable: the view points into the storage
  Operand& operator=(Operand&&) = default;

  [[nodiscard]] TensorView view() { return view_; }
  [[nodiscard]] TensorView view(const Box& region) { return view_.slice(region); }
  [[nodiscard]] double at(const Extents& index) const;
  void set(const Extents& index, double value);
  /// True if everything but `region` of the tensor (padding included) is poison still.
  [[nodiscard]] bool is_untouched_outside(const Box& region) const;

 private:
  /// Aligned as the tiles of a step are.
  struct alignas(64) CacheLine {
    std::byte bytes[64];
  };
  [[nodiscard]] std::int64_t offset(const Extents& index) const;
  std::vector<CacheLine> storage_;
  TensorView view_;
};

/// Element-wise |actual - expected| <= bound(dtype, terms, max |expected|, slack); the message names the worst element.
/// `rounding` is the coarsest float type of the call: errors are in its unit.
[[nodiscard]] testing::AssertionResult is_near(const RefTensor& actual, const RefTensor& expected,
                                               DType rounding, std::int64_t terms, double slack);
/// Content of an operand, as doubles.
[[nodiscard]] RefTensor content(const Operand& operand, const Extents& extents);

}  // namespace hpdlf::test
