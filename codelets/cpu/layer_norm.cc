// Layer normalisation on the CPU, each way one pass over memory: a row is read once, the rest of its work finds it in cache.
// Formulas: graph/ops/layer_norm.cc.
//
// The variance is taken about the mean as f32 rounds it and corrected by what that lost, so it stays exact where mean >> deviation.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/layer_norm.cc"
#include <algorithm>
#include <cmath>
#include <vector>

#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE VF32 repeated(double v) { return hn::Set(F32(), static_cast<float>(v)); }
HWY_INLINE double total(VF32 v) { return hn::GetLane(hn::SumOfLanes(F32(), v)); }

/// xhat = (x - shift) * scale + offset for a row.
struct RowStatistics {
  float shift;
  double scale, offset;

  template <class T>
  RowStatistics(const T* x, std::int64_t n, double epsilon) {
    const auto count = static_cast<double>(n);
    auto sum = hn::Zero(F32());
    for_each_vector(
        n, [&](auto access, std::int64_t i) HWY_ATTR { sum = hn::Add(sum, access.load(x + i)); });
    shift = static_cast<float>(total(sum) / count);
    const auto s = hn::Set(F32(), shift);
    auto first = hn::Zero(F32()), second = hn::Zero(F32());
    for_each_vector(n, [&](auto access, std::int64_t i) HWY_ATTR {
      const auto d = access.only(hn::Sub(access.load(x + i), s));
      first = hn::Add(first, d);
      second = hn::MulAdd(d, d, second);
    });
    const double lost = total(first) / count;  // mean - shift
    scale = 1 / std::sqrt(std::max(0.0, total(second) / count - lost * lost) + epsilon);
    offset = -lost * scale;
  }
};

struct XHat {
  VF32 shift, scale, offset;
  explicit XHat(const RowStatistics& s)
      : shift(hn::Set(F32(), s.shift)), scale(repeated(s.scale)), offset(repeated(s.offset)) {}
  HWY_INLINE VF32 operator()(VF32 x) const { return hn::MulAdd(hn::Sub(x, shift), scale, offset); }
};

/// body(at) for every row, at[i] its offset in view i; the last dimension is the row and lies densely.
template <class Body>
void for_each_row(std::initializer_list<const TensorView*> views, const Body& body) {
  std::vector<TensorView> firsts;  // their first column
  std::vector<const TensorView*> pointers;
  firsts.reserve(views.size());
  pointers.reserve(views.size());
  for (const TensorView* view : views) {
    HPDLF_ASSERT(view->extents.back() == 1 || view->strides.back() == 1,
                 "the elements of a row lie {} apart", view->strides.back());
    firsts.push_back(at_index(*view, view->rank() - 1, 0));
  }
  for (const TensorView& view : firsts) pointers.push_back(&view);
  const Rows rows{std::span<const TensorView* const>(pointers)};
  std::vector<std::int64_t> offsets(firsts.size());
  rows.for_each([&](const std::int64_t* at) {
    for (std::int64_t r = 0; r < rows.length(); ++r) {
      for (std::size_t v = 0; v < offsets.size(); ++v)
        offsets[v] = at[v] + r * rows.stride(static_cast<int>(v));
      body(static_cast<const std::int64_t*>(offsets.data()));
    }
  });
}

template <class T>
void normalize_rows(const KernelArgs& args) {
  const TensorView &x = args.in(0), &y = args.out(0);
  const std::int64_t n = x.extents.back();
  const double epsilon = args.attrs->real("epsilon");
  const std::vector<float> zeros(args.inputs.size() > 2 ? 0 : static_cast<std::size_t>(n));
  const float *gamma = args.in(1).as<float>(),
              *beta = zeros.empty() ? args.in(2).as<float>() : zeros.data();
  for_each_row({&x, &y}, [&](const std::int64_t* at) {
    const T* in = x.as<T>() + at[0];
    T* out = y.as<T>() + at[1];
    const XHat xhat(RowStatistics(in, n, epsilon));
    for_each_vector(n, [=](auto access, std::int64_t i) HWY_ATTR {
      const auto z =
          hn::MulAdd(xhat(access.load(in + i)), access.load(gamma + i), access.load(beta + i));
      access.store(z, out + i);
    });
  });
}

void LayerNormalization(const KernelArgs& args) {
  with_storage(args.in(0).dtype, [&](auto type) { normalize_rows<decltype(type)>(args); });
}

/// Sums over rows: f32 over a few rows, these in f64.
class ColumnSums {
 public:
  explicit ColumnSums(std::int64_t n)
      : few_(static_cast<std::size_t>(n)), all_(static_cast<std::size_t>(n)) {}
  /// n elements to add a row to, then row_done().
  [[nodiscard]] float* few() { return few_.data(); }
  void row_done() {
    constexpr int kFewRows = 32;  // 5 bits of the 24 that an f32 has
    if (++rows_ == kFewRows) flush();
  }
  void write(const TensorView& to) {
    flush();
    for (std::size_t i = 0; i < all_.size(); ++i)
      to.as<float>()[static_cast<std::int64_t>(i) * to.strides[0]] = static_cast<float>(all_[i]);
  }

 private:
  void flush() {
    for (std::size_t i = 0; i < all_.size(); ++i) all_[i] += static_cast<double>(few_[i]);
    std::fill(few_.begin(), few_.end(), 0.0F);
    rows_ = 0;
  }
  std::vector<float> few_;
  std::vector<double> all_;
  int rows_ = 0;
};

template <class T>
struct GradientRow {
  const T *x, *dy;
  T* dx;
  std::int64_t n;
};

/// dx of a row; adds dy * xhat to `dgamma` and dy to `dbeta`.
template <class T>
void gradient_row(const GradientRow<T>& row, const float* gamma, double epsilon, bool accumulate,
                  float* dgamma, float* dbeta) {
  const T *x = row.x, *dy = row.dy;
  T* dx = row.dx;
  const std::int64_t n = row.n;
  const RowStatistics statistics(x, n, epsilon);
  const XHat xhat(statistics);
  auto sum = hn::Zero(F32()), sum_product = hn::Zero(F32());
  for_each_vector(n, [&](auto access, std::int64_t i) HWY_ATTR {
    const auto h = xhat(access.load(x + i)), d = access.load(dy + i);
    const auto g = hn::Mul(d, access.load(gamma + i));  // 0 where there is no element
    sum = hn::Add(sum, g);
    sum_product = hn::MulAdd(g, h, sum_product);
    access.store(hn::MulAdd(d, h, access.load(dgamma + i)), dgamma + i);
    access.store(hn::Add(d, access.load(dbeta + i)), dbeta + i);
  });
  const auto count = static_cast<double>(n);
  const auto scale = repeated(statistics.scale), mean = repeated(total(sum) / count),
             slope = repeated(total(sum_product) / count);
  for_each_vector(n, [&](auto access, std::int64_t i) HWY_ATTR {
    const auto g = hn::Mul(access.load(dy + i), access.load(gamma + i));
    const auto rest = hn::NegMulAdd(xhat(access.load(x + i)), slope, hn::Sub(g, mean));
    const auto before = accumulate ? access.load(dx + i) : hn::Zero(F32());
    access.store(hn::MulAdd(rest, scale, before), dx + i);
  });
}

void LayerNormalizationGrad(const KernelArgs& args) {
  const TensorView &x = args.in(0), &dy = args.in(2), &dx = args.out(0);
  const std::int64_t n = x.extents.back();
  const double epsilon = args.attrs->real("epsilon");
  ColumnSums dgamma(n), dbeta(n);
  with_storage(x.dtype, [&](auto type) {
    using T = decltype(type);
    for_each_row({&x, &dy, &dx}, [&](const std::int64_t* at) {
      const GradientRow<T> row{x.as<T>() + at[0], dy.as<T>() + at[1], dx.as<T>() + at[2], n};
      gradient_row(row, args.in(1).as<float>(), epsilon, args.accumulate, dgamma.few(),
                   dbeta.few());
      dgamma.row_done();
      dbeta.row_done();
    });
  });
  dgamma.write(args.out(1));
  dbeta.write(args.out(2));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {

HWY_EXPORT(LayerNormalization);
HWY_EXPORT(LayerNormalizationGrad);

void register_layer_norm_cpu(KernelRegistry& registry) {
  registry.add({.op = "LayerNormalization",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(LayerNormalization)});
  registry.add({.op = "LayerNormalizationGrad",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(LayerNormalizationGrad)});
}

}  // namespace hpdlf::codelets
#endif
