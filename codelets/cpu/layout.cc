// CPU kernels that only move or convert elements. Slices, transposes, expansions, joins and cuts are one thing: a copy between two
// strided views of equal extents (strides may be 0 or negative). Where both run densely it is memcpy; a transposition goes in blocks that
// stay in L1. Elements are moved by size, whatever their dtype.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/layout.cc"
#include <algorithm>
#include <cstring>

#include "base/axes.hpp"
#include "base/element.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// One vector of f32 arithmetic between two of f32, bf16 and f64.
template <class To, class From>
HWY_INLINE void convert_floats(const From* from, To* to, std::int64_t n) {
  if constexpr (sizeof(To) == sizeof(double) || sizeof(From) == sizeof(double)) {
    const hn::ScalableTag<double> d;
    const hn::Rebind<float, decltype(d)> half;
    const auto step = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t i = 0;
    if constexpr (std::is_same_v<From, float>)
      for (; i + step <= n; i += step)
        hn::StoreU(hn::PromoteTo(d, hn::LoadU(half, from + i)), d, to + i);
    if constexpr (std::is_same_v<To, float>)
      for (; i + step <= n; i += step)
        hn::StoreU(hn::DemoteTo(half, hn::LoadU(d, from + i)), half, to + i);
    for (; i < n; ++i) to[i] = static_cast<To>(static_cast<float>(from[i]));
  } else {
    for_each_vector(n, [&](auto access, std::int64_t i)
                           HWY_ATTR { access.store(access.load(from + i), to + i); });
  }
}

template <class From, class To>
void cast_floats(const TensorView& x, const TensorView& y) {
  const auto rows = Rows::dense({&x, &y});
  rows.for_each([&](const std::int64_t* at) {
    convert_floats(x.as<From>() + at[0], y.as<To>() + at[1], rows.length());
  });
}

void CastFloats(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  if (x.dtype == DType::f32 && y.dtype == DType::bf16)
    cast_floats<float, bfloat16>(x, y);
  else if (x.dtype == DType::bf16 && y.dtype == DType::f32)
    cast_floats<bfloat16, float>(x, y);
  else if (x.dtype == DType::f32 && y.dtype == DType::f64)
    cast_floats<float, double>(x, y);
  else
    cast_floats<double, float>(x, y);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
namespace {
HWY_EXPORT(CastFloats);

// ------------------------------------------------------------------------------------------------- strided copies

/// f(word) with an unsigned integer of the element's size.
template <class F>
void with_word(DType dtype, F&& f) {
  switch (size_of(dtype)) {
    case 1:
      return f(std::uint8_t{});
    case 2:
      return f(std::uint16_t{});
    case 4:
      return f(std::uint32_t{});
    default:
      return f(std::uint64_t{});
  }
}

TensorView advanced(TensorView view, std::int64_t elements) {
  view.data = static_cast<std::byte*>(view.data) +
              elements * static_cast<std::int64_t>(size_of(view.dtype));
  return view;
}

template <class Word>
void copy_rows(const TensorView& from, const TensorView& to) {
  const Rows rows({&to, &from});
  auto* out = static_cast<Word*>(to.data);
  const auto* in = static_cast<const Word*>(from.data);
  const std::int64_t n = rows.length();
  const std::int64_t out_stride = rows.stride(0);
  const std::int64_t in_stride = rows.stride(1);
  rows.for_each([&](const std::int64_t* at) {
    Word* q = out + at[0];
    const Word* p = in + at[1];
    if (out_stride == 1 && in_stride == 1)
      std::memcpy(q, p, static_cast<std::size_t>(n) * sizeof(Word));
    else if (out_stride == 1 && in_stride == 0)
      std::fill_n(q, n, *p);
    else
      for (std::int64_t i = 0; i < n; ++i) q[i * out_stride] = p[i * in_stride];
  });
}

/// Dimension whose stride is 1 and that is longer than 1, the last of several; -1 if there is none.
int dense_dim(const TensorView& view) {
  for (int i = view.rank() - 1; i >= 0; --i)
    if (view.extents[i] > 1 && view.strides[i] == 1) return i;
  return -1;
}

/// Copies elements of equal size between views of equal extents.
void copy_strided(const TensorView& from, const TensorView& to) {
  constexpr std::int64_t kBlock =
      16;  // 16 x 16 elements of 8 bytes are 4 KiB, a line of every row at once
  const int across = dense_dim(from);
  const int along = dense_dim(to);
  const bool is_transposed =
      across >= 0 && along >= 0 && across != along && from.extents[across] > kBlock;
  with_word(to.dtype, [&](auto word) {
    using Word = decltype(word);
    if (!is_transposed) {
      copy_rows<Word>(from, to);
      return;
    }
    TensorView a = from, b = to;
    for (std::int64_t begin = 0; begin < from.extents[across]; begin += kBlock) {
      a.extents[across] = b.extents[across] = std::min(kBlock, from.extents[across] - begin);
      for (std::int64_t start = 0; start < to.extents[along]; start += kBlock) {
        a.extents[along] = b.extents[along] = std::min(kBlock, to.extents[along] - start);
        copy_rows<Word>(advanced(a, begin * from.strides[across] + start * from.strides[along]),
                        advanced(b, begin * to.strides[across] + start * to.strides[along]));
      }
      a.extents[along] = b.extents[along] = to.extents[along];
    }
  });
}

/// `count` indices of `axis` from `start` on, in the view's own coordinates.
TensorView part_of(const TensorView& view, int axis, std::int64_t start, std::int64_t count) {
  TensorView part = advanced(view, start * view.strides[axis]);
  part.extents[axis] = count;
  return part;
}

void concat(const KernelArgs& args) {
  const TensorView& y = args.out(0);
  const int axis = normalized_axis(args.attrs->integer("axis"), y.rank());
  std::int64_t start = 0;
  for (const TensorView& x : args.inputs) {
    copy_strided(x, part_of(y, axis, start, x.extents[axis]));
    start += x.extents[axis];
  }
}

void split(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const int axis = normalized_axis(args.attrs->integer("axis"), x.rank());
  std::int64_t start = 0;
  for (const TensorView& y : args.outputs) {
    copy_strided(part_of(x, axis, start, y.extents[axis]), y);
    start += y.extents[axis];
  }
}

/// The elements of `view` that the slice takes; sliced dimensions are whole in it.
TensorView sliced(const TensorView& view, const Attrs& attrs) {
  const auto ranges = slices_from(attrs, view.whole);
  TensorView part = view;
  for (int i = 0; i < view.rank(); ++i) {
    const SliceRange& range = ranges[static_cast<std::size_t>(i)];
    if (range.is_whole(view.whole[i])) continue;
    part = advanced(part, range.start * view.strides[i]);
    part.extents[i] = range.count;
    part.strides[i] = range.step * view.strides[i];
  }
  return part;
}

void slice(const KernelArgs& args) { copy_strided(sliced(args.in(0), *args.attrs), args.out(0)); }

void slice_grad(const KernelArgs& args) {
  fill_zero(args.out(0));
  copy_strided(args.in(0), sliced(args.out(0), *args.attrs));
}

void transpose(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  const auto& perm = args.attrs->integers("perm");
  TensorView from = y;
  from.data = x.data;
  for (int i = 0; i < y.rank(); ++i)
    from.strides[i] = x.strides[perm.empty() ? y.rank() - 1 - i
                                             : static_cast<int>(perm[static_cast<std::size_t>(i)])];
  copy_strided(from, y);
}

void expand(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  const int missing = y.rank() - x.rank();
  TensorView from = y;
  from.data = x.data;
  for (int i = 0; i < y.rank(); ++i)
    from.strides[i] =
        i < missing || x.extents[i - missing] != y.extents[i] ? 0 : x.strides[i - missing];
  copy_strided(from, y);
}

/// Offset, in elements, of an element by its number in row-major order.
std::int64_t offset_of(const TensorView& view, std::int64_t number) {
  std::int64_t offset = 0;
  for (int i = view.rank() - 1; i >= 0; --i) {
    offset += number % view.extents[i] * view.strides[i];
    number /= view.extents[i];
  }
  return offset;
}

/// Both sides hold the same elements in row-major order; their dense runs differ in length.
void reshape(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  const auto size = static_cast<std::int64_t>(size_of(x.dtype));
  const auto from = Rows::dense({&x});
  const auto to = Rows::dense({&y});
  std::int64_t done = 0;  // elements, over all runs
  to.for_each([&](const std::int64_t* at) {
    for (std::int64_t filled = 0; filled < to.length();) {
      const std::int64_t within = done % from.length();
      const std::int64_t n = std::min(from.length() - within, to.length() - filled);
      std::memcpy(static_cast<std::byte*>(y.data) + (at[0] + filled) * size,
                  static_cast<const std::byte*>(x.data) + offset_of(x, done) * size,
                  static_cast<std::size_t>(n * size));
      filled += n;
      done += n;
    }
  });
}

// ------------------------------------------------------------------------------------------------- Cast

template <class To, class From>
To converted(From value) {
  if constexpr (std::is_same_v<From, bfloat16>)
    return converted<To>(static_cast<float>(value));
  else if constexpr (std::is_same_v<To, bfloat16>)
    return bfloat16(static_cast<float>(value));
  else if constexpr (std::is_same_v<To, bool>)
    return value != From{0};
  else
    return static_cast<To>(value);
}

void cast(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  if (x.dtype == y.dtype) {
    copy_strided(x, y);
    return;
  }
  const Rows rows({&x, &y});
  with_type(x.dtype, [&](auto from) {
    with_type(y.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      rows.for_each([&](const std::int64_t* at) {
        const From* p = x.as<From>() + at[0];
        To* q = y.as<To>() + at[1];
        for (std::int64_t i = 0; i < rows.length(); ++i)
          q[i * rows.stride(1)] = converted<To>(p[i * rows.stride(0)]);
      });
    });
  });
}

/// What a tile is put together from, by one task.
void copy_parts(const KernelArgs& args) {
  for (std::size_t i = 0; i < args.inputs.size(); ++i) {
    HPDLF_ASSERT(args.inputs[i].dtype == args.outputs[i].dtype, "part {} is {}, the tile {}", i,
                 name_of(args.inputs[i].dtype), name_of(args.outputs[i].dtype));
    copy_strided(args.inputs[i], args.outputs[i]);
  }
}

bool has_parts(const KernelArgs& args) { return args.inputs.size() > 1; }

bool is_float_pair(const KernelArgs& args) {
  const DType x = args.in(0).dtype;
  const DType y = args.out(0).dtype;
  return (x == DType::f32 && (y == DType::bf16 || y == DType::f64)) ||
         (y == DType::f32 && (x == DType::bf16 || x == DType::f64));
}

bool is_castable(const KernelArgs& args) {
  return args.in(0).dtype != DType::f16 && args.out(0).dtype != DType::f16;
}

}  // namespace

void register_layout_cpu(KernelRegistry& registry) {
  registry.add({.op = "Concat", .variant = "copy", .run = concat});
  registry.add({.op = "Split", .variant = "copy", .run = split});
  registry.add({.op = "Slice", .variant = "copy", .run = slice});
  registry.add({.op = "SliceGrad", .variant = "copy", .run = slice_grad});
  registry.add({.op = "Reshape", .variant = "copy", .run = reshape});
  registry.add({.op = "Transpose", .variant = "copy", .run = transpose});
  registry.add({.op = "Expand", .variant = "copy", .run = expand});
  registry.add({.op = "Cast",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(CastFloats),
                .supports = is_float_pair});
  registry.add({.op = "Cast", .variant = "portable", .run = cast, .supports = is_castable});
  registry.add({.op = "Copy", .variant = "parts", .run = copy_parts, .supports = has_parts});
}
}  // namespace hpdlf::codelets
#endif
