// Products of plain matrices of f32 or bf16 on the calling thread, by oneDNN or on tiles of bf16 (codelets/cpu/split_product.hpp): the
// inner piece of kernels that multiply matrices among other things. Sums are f32 whatever is multiplied.
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

/// y[m, n] = sum_k a[m, k] b[k, n] (+ bias[n], f32).
struct MatrixProductShape {
  std::int64_t m = 1, n = 1, k = 1;
  MatrixStrides a, b;
  std::int64_t y_row = 1;  ///< stride between rows of y; columns lie densely
  bool sum = false;        ///< added to y
  bool bias = false;
  DType factors = DType::f32;  ///< of a and b: f32 or bf16
  DType result = DType::f32;   ///< of y: f32, or bf16 if the factors are
};

/// True if a MatrixProduct is faster than oneDNN's primitive is, not that primitive itself.
[[nodiscard]] bool beats_onednn(const MatrixProductShape& shape);

class MatrixProduct {
 public:
  /// Finds or makes the primitive. @throws LibraryError.
  explicit MatrixProduct(const MatrixProductShape& shape);

  [[nodiscard]] std::int64_t scratch_bytes() const;
  /// @param scratch 64-byte aligned, scratch_bytes() long. @param bias only if the shape has one.
  void operator()(const void* a, const void* b, void* y, std::byte* scratch,
                  const float* bias = nullptr) const;

 private:
  void widen(const void* a, const void* b, void* y, std::byte* scratch, const float* bias) const;

  MatrixProductShape shape_;
  const onednn::Primitive* product_ = nullptr;  ///< nullptr: by split_product() or sgemm
};

}  // namespace hpdlf::codelets
