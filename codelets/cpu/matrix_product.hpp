// Products of plain f32 matrices by oneDNN on the calling thread: the inner piece of kernels that multiply matrices among other things.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "codelets/cpu/onednn.hpp"

namespace hpdlf::codelets {

/// Strides of a matrix in elements, between rows and between columns; one of them is 1.
struct MatrixStrides {
  std::int64_t row = 1, column = 1;
};

/// y[m, n] = sum_k a[m, k] b[k, n] (+ bias[n]).
struct MatrixProductShape {
  std::int64_t m = 1, n = 1, k = 1;
  MatrixStrides a, b;
  std::int64_t y_row = 1;  ///< stride between rows of y; columns lie densely
  bool sum = false;        ///< added to y
  bool bias = false;
};

class MatrixProduct {
 public:
  /// Finds or makes the primitive. @throws LibraryError.
  explicit MatrixProduct(const MatrixProductShape& shape);

  [[nodiscard]] std::int64_t scratch_bytes() const;
  /// @param scratch 64-byte aligned, scratch_bytes() long. @param bias only if the shape has one.
  void operator()(const float* a, const float* b, float* y, std::byte* scratch,
                  const float* bias = nullptr) const;

 private:
  MatrixProductShape shape_;
  const onednn::Primitive* product_ = nullptr;  ///< nullptr: by sgemm
};

}  // namespace hpdlf::codelets
