// What a kernel works on: a strided region of memory that knows where it lies in the whole tensor.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/dtype.hpp"
#include "base/shape.hpp"

namespace hpdlf {

/// Non-owning. Strides in elements; the innermost dimension (channels) is dense for activations.
/// `origin` and `whole` place the view in the tensor it is a piece of: kernels derive a tile's own padding and the
/// global element index of random numbers from them.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  Extents extents, strides;
  Extents origin;  ///< coordinates of element 0 in the whole tensor
  Extents whole;   ///< extents of the whole tensor

  /// A dense view of a whole tensor.
  [[nodiscard]] static TensorView dense(void* data, DType dtype, const Extents& extents) {
    return {data,   dtype, extents, dense_strides(extents), Extents::filled(extents.rank(), 0),
            extents};
  }
  template <class T>
  [[nodiscard]] T* as() const {
    HPDLF_ASSERT(dtype == dtype_of<T>, "a kernel for {} was given {}", name_of(dtype_of<T>),
                 name_of(dtype));
    return static_cast<T*>(data);
  }
  [[nodiscard]] int rank() const { return extents.rank(); }
  [[nodiscard]] std::int64_t elements() const { return extents.elements(); }
  [[nodiscard]] std::int64_t bytes() const {
    return elements() * static_cast<std::int64_t>(size_of(dtype));
  }
  [[nodiscard]] bool is_dense() const;
  /// Number of trailing dimensions that form one dense run, e.g. all of them when is_dense().
  [[nodiscard]] int dense_suffix() const;
  /// The region `box` (in coordinates of the whole tensor) of this view.
  [[nodiscard]] TensorView slice(const Box& box) const;
  [[nodiscard]] Box box() const;
};

}  // namespace hpdlf
