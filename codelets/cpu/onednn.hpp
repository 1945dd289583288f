// The one door to oneDNN: primitives made once per shape and run on one thread, whichever thread that is.
//
//   const Primitive& p = primitive_for(Key("matmul").add(m).add(n).add(k), [&] { return make_matmul(m, n, k); });
//   run(p, {a, b, c}, scratchpad);
//
// What makes it safe and quick in a task runtime (docs/adr has the measurements):
//   - tiling gives the parallelism, so every primitive is made for and run with one OpenMP thread;
//   - scratchpads are the caller's: oneDNN's own belongs to the thread that made the primitive, and tasks wander between threads;
//   - memory objects cost microseconds to make, so each thread keeps those of every primitive it has run and only exchanges pointers.
// Activations are always given to oneDNN as dense channels-last tensors: it runs strided ones by its reference code, thousands of
// times slower. Callers copy where a view is not dense.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <dnnl.hpp>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor_view.hpp"

namespace hpdlf::codelets::onednn {

/// Everything that a primitive depends on, as numbers.
class Key {
 public:
  /// `kind` must be a literal: its letters are part of the key.
  explicit Key(std::string_view kind) {
    for (const char c : kind) add(c);
  }
  Key& add(std::int64_t v) {
    HPDLF_ASSERT(size_ < values_.size(), "a oneDNN key of more than {} numbers", values_.size());
    values_[size_++] = v;
    return *this;
  }
  Key& add(DType dtype) { return add(static_cast<std::int64_t>(dtype)); }
  Key& add(const Extents& extents) {
    add(extents.rank());
    for (const auto e : extents) add(e);
    return *this;
  }
  [[nodiscard]] std::size_t hash() const;
  friend bool operator==(const Key& a, const Key& b) {
    return std::equal(a.values_.begin(), a.values_.begin() + a.size_, b.values_.begin(),
                      b.values_.begin() + b.size_);
  }

 private:
  std::array<std::int64_t, 96> values_{};
  std::size_t size_ = 0;
};

/// A primitive and what it is run with. Immutable once made; threads may run the same one at once.
struct Primitive {
  struct Argument {
    int id;  ///< DNNL_ARG_...
    dnnl::memory::desc desc;
  };
  dnnl::primitive handle;
  std::vector<Argument> arguments;  ///< in the order in which run() takes their data
  dnnl::memory::desc scratchpad;
  std::string implementation;  ///< oneDNN's name of the code it chose: "brgconv:avx2"

  [[nodiscard]] std::int64_t scratchpad_bytes() const {
    return static_cast<std::int64_t>(scratchpad.get_size());
  }
  /// True if oneDNN has only its reference code for the shape.
  [[nodiscard]] bool is_reference() const { return implementation.starts_with("ref"); }
};

namespace detail {
[[nodiscard]] const Primitive* find(const Key& key);
const Primitive& insert(const Key& key, Primitive primitive);
/// One OpenMP thread on the calling thread while it lives.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int saved_;
};
[[noreturn]] void fail(std::string_view call, const dnnl::error& error);
}  // namespace detail

/// The primitive of this key; made by `make` where the process has none yet. Any thread. The reference stays valid.
/// @throws LibraryError if oneDNN cannot make it.
template <class Make>
const Primitive& primitive_for(const Key& key, Make&& make) {
  if (const Primitive* known = detail::find(key)) return *known;
  const detail::OneThread one_thread;
  try {
    return detail::insert(key, make());
  } catch (const dnnl::error& e) {
    detail::fail("creating a primitive", e);
  }
}

/// All primitives that the process has made, in no order.
[[nodiscard]] std::vector<const Primitive*> primitives();

/// Runs on the calling thread and returns when done. `data` are those of the arguments, in order.
/// @param scratchpad 64-byte aligned, scratchpad_bytes() long. @throws LibraryError.
void run(const Primitive& primitive, std::initializer_list<const void*> data, void* scratchpad);

/// y[m, n] = sum_k a[m, k] b[k, n], or added to y with `sum`; one of the two strides of a matrix is 1, y's rows lie y_row apart. Packs its
/// operands as it goes, in memory of its own: for large matrices whose b lies badly for a primitive. Runs on the calling thread.
/// @throws LibraryError.
struct SgemmCall {
  std::int64_t m, n, k;
  std::int64_t a_row, a_column, b_row, b_column, y_row;
  bool sum;
};
void sgemm(const SgemmCall& call, const float* a, const float* b, float* y);

// ---- for those who make primitives

[[nodiscard]] const dnnl::engine& cpu_engine();
/// Attributes with a scratchpad of the caller and, with `sum`, dst added to rather than written.
[[nodiscard]] dnnl::primitive_attr primitive_attributes(bool sum);
[[nodiscard]] dnnl::memory::data_type data_type(DType dtype);
[[nodiscard]] dnnl::memory::dims dims(const Extents& extents);
/// Any strides. Only for reorders and matrices.
[[nodiscard]] dnnl::memory::desc strided_desc(DType dtype, const Extents& extents,
                                              const Extents& strides);

template <class PrimitiveDesc>
Primitive make_primitive(const PrimitiveDesc& desc, dnnl::primitive handle,
                         std::vector<Primitive::Argument> arguments) {
  Primitive primitive{.scratchpad = desc.scratchpad_desc(), .implementation = desc.impl_info_str()};
  primitive.handle = std::move(handle);
  primitive.arguments = std::move(arguments);
  return primitive;
}

/// Copies (with `sum`: adds) one layout to another, converting the element type. `key` must determine all that is given.
const Primitive& reorder(const Key& key, const dnnl::memory::desc& from,
                         const dnnl::memory::desc& to, bool sum);
/// The same between views of equal extents with any strides.
const Primitive& reorder(const TensorView& from, const TensorView& to, bool sum);

/// True if oneDNN may use AVX-512.
[[nodiscard]] bool has_avx512();
/// True if the processor multiplies bf16; else bf16 operands are converted to f32 first.
[[nodiscard]] bool has_bf16();
/// True if the processor multiplies tiles of bf16.
[[nodiscard]] bool has_amx();

}  // namespace hpdlf::codelets::onednn
