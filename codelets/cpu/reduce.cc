// CPU kernels of the reductions. Everything is accumulated in f64, exact for maxima, so that splits of a sum agree closely.
//
// The trailing dimensions of x that are kept (channels) and, before them, those that are reduced form long dense runs of
// [rows, kept] elements. A run is added to periodic accumulators, a whole number of rows wide and a few vectors at least, which are folded
// once at the end: five channels go as fast as sixteen, and no memory of the size of a tensor is needed.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/reduce.cc"
#include <limits>

#include "codelets/cpu/reduce_plan.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<double>;
using VD = hn::Vec<D>;

HWY_INLINE VD load_f64(const float* p) {
  return hn::PromoteTo(D(), hn::LoadU(hn::Rebind<float, D>(), p));
}
HWY_INLINE VD load_f64(const double* p) { return hn::LoadU(D(), p); }
HWY_INLINE VD load_f64(const bfloat16* p) {
  const hn::Rebind<float, D> d32;
  const hn::RebindToUnsigned<decltype(d32)> bits;
  const hn::Rebind<std::uint16_t, D> d16;
  const auto high = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(p));
  return hn::PromoteTo(D(), hn::BitCast(d32, hn::ShiftLeft<16>(hn::PromoteTo(bits, high))));
}
/// One element.
HWY_INLINE double to_f64(float x) { return x; }
HWY_INLINE double to_f64(double x) { return x; }
HWY_INLINE double to_f64(bfloat16 x) { return static_cast<float>(x); }

struct SumOp {
  static constexpr double kStart = 0;
  static HWY_INLINE VD add(VD acc, VD x) { return hn::Add(acc, x); }
  static HWY_INLINE VD join(VD a, VD b) { return hn::Add(a, b); }
  static double add(double acc, double x) { return acc + x; }
  static double join(double a, double b) { return a + b; }
};
struct SumSquareOp {
  static constexpr double kStart = 0;
  static HWY_INLINE VD add(VD acc, VD x) { return hn::MulAdd(x, x, acc); }
  static HWY_INLINE VD join(VD a, VD b) { return hn::Add(a, b); }
  static double add(double acc, double x) { return acc + x * x; }
  static double join(double a, double b) { return a + b; }
};
struct MaxOp {
  static constexpr double kStart = -std::numeric_limits<double>::infinity();
  static HWY_INLINE VD add(VD acc, VD x) {
    return hn::IfThenElse(hn::Or(hn::Gt(x, acc), hn::IsNaN(x)), x, acc);
  }
  static HWY_INLINE VD join(VD a, VD b) { return add(a, b); }
  static double add(double acc, double x) { return x > acc || x != x ? x : acc; }
  static double join(double a, double b) { return add(a, b); }
};
struct MinOp {
  static constexpr double kStart = std::numeric_limits<double>::infinity();
  static HWY_INLINE VD add(VD acc, VD x) {
    return hn::IfThenElse(hn::Or(hn::Lt(x, acc), hn::IsNaN(x)), x, acc);
  }
  static HWY_INLINE VD join(VD a, VD b) { return add(a, b); }
  static double add(double acc, double x) { return x < acc || x != x ? x : acc; }
  static double join(double a, double b) { return add(a, b); }
};

/// acc[j] = add(acc[j], x[j]) for j < n.
template <class Op, class T>
HWY_INLINE void add_row(double* HWY_RESTRICT acc, const T* HWY_RESTRICT x, std::int64_t n) {
  const D d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  for (; j + step <= n; j += step)
    hn::StoreU(Op::add(hn::LoadU(d, acc + j), load_f64(x + j)), d, acc + j);
  for (; j < n; ++j) acc[j] = Op::add(acc[j], to_f64(x[j]));
}

/// One output: a run of n elements, in four registers so that the additions do not wait for each other.
template <class Op, class T>
HWY_INLINE double add_run(double acc, const T* x, std::int64_t n) {
  const D d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  VD sum[4] = {hn::Set(d, Op::kStart), hn::Set(d, Op::kStart), hn::Set(d, Op::kStart),
               hn::Set(d, Op::kStart)};
  std::int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step)
    for (int k = 0; k < 4; ++k) sum[k] = Op::add(sum[k], load_f64(x + i + k * step));
  for (; i + step <= n; i += step) sum[0] = Op::add(sum[0], load_f64(x + i));
  HWY_ALIGN double lane[HWY_MAX_BYTES / sizeof(double)];
  hn::Store(Op::join(Op::join(sum[0], sum[1]), Op::join(sum[2], sum[3])), d, lane);
  for (std::int64_t k = 0; k < step; ++k) acc = Op::join(acc, lane[k]);
  for (; i < n; ++i) acc = Op::add(acc, to_f64(x[i]));
  return acc;
}

/// One block of `width` neighbouring outputs from rows of `plan`; `acc` holds a period and starts at kStart.
template <class Op, class T>
void reduce_block(const ReducePlan& plan, const T* x, std::int64_t width, std::int64_t period,
                  double* acc) {
  plan.for_each_reduced([&](std::int64_t offset) {
    const T* run = x + offset;
    const std::int64_t n = plan.rows() * width;
    for (std::int64_t i = 0; i < n; i += period) add_row<Op>(acc, run + i, std::min(period, n - i));
  });
}

/// @tparam T of x. @tparam Y of y.
template <class Op, class T, class Y = T>
void reduce(const TensorView& x, const TensorView& y, const ReducePlan& plan, double scale) {
  const T* from = x.as<T>();
  Y* to = y.as<Y>();
  if (plan.kept() == 1) {
    plan.for_each_kept([&](std::int64_t in, std::int64_t out) {
      double acc = Op::kStart;
      plan.for_each_reduced(
          [&](std::int64_t offset) { acc = add_run<Op>(acc, from + in + offset, plan.rows()); });
      to[out] = static_cast<Y>(acc * scale);
    });
    return;
  }
  // Without reduced rows between them the outputs of a run are independent: blocks keep the accumulators in L1.
  const bool is_blocked = plan.rows() == 1;
  const std::int64_t most = is_blocked ? std::min(plan.kept(), ReducePlan::kLongRun) : plan.kept();
  const std::int64_t period = is_blocked ? most : ChannelPattern(most).period;
  std::vector<double> acc(static_cast<std::size_t>(period));
  plan.for_each_kept([&](std::int64_t in, std::int64_t out) {
    for (std::int64_t begin = 0; begin < plan.kept(); begin += most) {
      const std::int64_t width = std::min(most, plan.kept() - begin);
      std::fill(acc.begin(), acc.end(), Op::kStart);
      const std::int64_t used = is_blocked ? width : period;
      reduce_block<Op>(plan, from + in + begin, width, used, acc.data());
      for (std::int64_t c = 0; c < width; ++c) {
        double total = acc[static_cast<std::size_t>(c)];
        for (std::int64_t i = c + width; i < used; i += width)
          total = Op::join(total, acc[static_cast<std::size_t>(i)]);
        to[out + begin + c] = static_cast<Y>(total * scale);
      }
    }
  });
}

template <class Op>
void run_reduction(const KernelArgs& args, double scale = 1) {
  const TensorView& x = args.in(0);
  const TensorView& y = args.out(0);
  const ReducePlan plan(x, y, *args.attrs);
  if (x.dtype == DType::f32)
    reduce<Op, float>(x, y, plan, scale);
  else if (x.dtype == DType::bf16)
    reduce<Op, bfloat16, float>(x, y, plan, scale);
  else
    reduce<Op, double>(x, y, plan, scale);
}

void ReduceSum(const KernelArgs& args) { run_reduction<SumOp>(args); }
void ReduceSumSquare(const KernelArgs& args) { run_reduction<SumSquareOp>(args); }
void ReduceMax(const KernelArgs& args) { run_reduction<MaxOp>(args); }
void ReduceMin(const KernelArgs& args) { run_reduction<MinOp>(args); }
/// Divides by the count of the whole tensor: the partial means of tiles add up.
void ReduceMean(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const AxisSet reduced = axis_set(args.attrs->integers("axes"), x.rank());
  std::int64_t count = 1;
  for (int i = 0; i < x.rank(); ++i)
    if (reduced[static_cast<std::size_t>(i)]) count *= x.whole[i];
  run_reduction<SumOp>(args, 1.0 / static_cast<double>(count));
}

// ------------------------------------------------------------------------------------------------- gradients

/// An operand of a run whose stride is 0 (one element for all) or 1.
template <class T>
struct RunOperand {
  const T* data;
  std::int64_t stride;

  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, std::int64_t i) const {
    return stride == 0 ? hn::Set(d, *data) : hn::LoadU(d, data + i);
  }
  [[nodiscard]] HWY_INLINE VD load_f64(std::int64_t i) const {
    return stride == 0 ? hn::Set(D(), to_f64(*data)) : HWY_NAMESPACE::load_f64(data + i);
  }
  [[nodiscard]] T at(std::int64_t i) const { return data[i * stride]; }
};

/// dx[i] = 2 x[i] dy[i]; without x: dx[i] = scale * dy[i].
template <class T>
void sum_grad(const TensorView* x, const TensorView& dy, const TensorView& dx, T scale) {
  const hn::ScalableTag<T> d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const Rows rows(x == nullptr ? std::vector{&dx, &dy} : std::vector{&dx, &dy, x});
  const bool is_dense =
      rows.stride(0) == 1 && rows.stride(1) <= 1 && (x == nullptr || rows.stride(2) == 1);
  rows.for_each([&](const std::int64_t* at) {
    T* to = dx.as<T>() + at[0];
    const RunOperand<T> g{dy.as<T>() + at[1], rows.stride(1)};
    const T* xs = x == nullptr ? nullptr : x->as<T>() + at[2];
    std::int64_t i = 0;
    if (is_dense)
      for (; i + step <= rows.length(); i += step) {
        const auto v = hn::Mul(g.load(d, i), hn::Set(d, scale));
        hn::StoreU(xs == nullptr ? v : hn::Mul(v, hn::LoadU(d, xs + i)), d, to + i);
      }
    for (; i < rows.length(); ++i) {
      const T v = g.at(i) * scale;
      to[i * rows.stride(0)] = xs == nullptr ? v : v * xs[i * rows.stride(2)];
    }
  });
}

void ReduceSumGrad(const KernelArgs& args) {
  const TensorView& dx = args.out(0);
  const TensorView dy = broadcast_over(args.in(0), dx, *args.attrs);
  const double scale = args.attrs->real("scale");
  if (dx.dtype == DType::f32)
    sum_grad<float>(nullptr, dy, dx, static_cast<float>(scale));
  else
    sum_grad<double>(nullptr, dy, dx, scale);
}

void ReduceSumSquareGrad(const KernelArgs& args) {
  const TensorView& dx = args.out(0);
  const TensorView dy = broadcast_over(args.in(1), dx, *args.attrs);
  if (dx.dtype == DType::f32)
    sum_grad<float>(&args.in(0), dy, dx, 2);
  else
    sum_grad<double>(&args.in(0), dy, dx, 2);
}

/// Adds to `count`, of f64, how many elements of x equal their y. In f32 a count would stop at 2^24.
template <class T>
void count_extrema(const TensorView& x, const TensorView& y, const TensorView& count) {
  const D d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const Rows rows({&x, &y, &count});
  const bool is_dense =
      rows.stride(0) == 1 && rows.stride(1) <= 1 && rows.stride(1) == rows.stride(2);
  rows.for_each([&](const std::int64_t* at) {
    const T* xs = x.as<T>() + at[0];
    const RunOperand<T> ys{y.as<T>() + at[1], rows.stride(1)};
    double* counts = count.as<double>() + at[2];
    std::size_t of_one = 0;  // where all have the same y
    std::int64_t i = 0;
    if (is_dense)
      for (; i + step <= rows.length(); i += step) {
        const auto same = hn::Eq(load_f64(xs + i), ys.load_f64(i));
        if (ys.stride == 0)
          of_one += hn::CountTrue(d, same);
        else
          hn::StoreU(hn::Add(hn::LoadU(d, counts + i), hn::IfThenElseZero(same, hn::Set(d, 1))), d,
                     counts + i);
      }
    for (; i < rows.length(); ++i)
      counts[i * rows.stride(2)] += xs[i * rows.stride(0)] == ys.at(i) ? 1 : 0;
    *counts += static_cast<double>(of_one);
  });
}

/// share = dy / count.
template <class T>
void divide(const TensorView& dy, const TensorView& count, const TensorView& share) {
  const Rows rows({&share, &dy, &count});
  rows.for_each([&](const std::int64_t* at) {
    for (std::int64_t i = 0; i < rows.length(); ++i)
      share.as<T>()[at[0] + i * rows.stride(0)] = static_cast<T>(
          dy.as<T>()[at[1] + i * rows.stride(1)] / count.as<double>()[at[2] + i * rows.stride(2)]);
  });
}

/// dx = share where x is the extremum y, else 0.
template <class T>
void spread_extrema(const TensorView& x, const TensorView& y, const TensorView& share,
                    const TensorView& dx) {
  const hn::ScalableTag<T> d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const Rows rows({&dx, &x, &y, &share});
  const bool is_dense =
      rows.stride(0) == 1 && rows.stride(1) == 1 && rows.stride(2) <= 1 && rows.stride(3) <= 1;
  rows.for_each([&](const std::int64_t* at) {
    T* to = dx.as<T>() + at[0];
    const T* xs = x.as<T>() + at[1];
    const RunOperand<T> ys{y.as<T>() + at[2], rows.stride(2)};
    const RunOperand<T> shares{share.as<T>() + at[3], rows.stride(3)};
    std::int64_t i = 0;
    if (is_dense)
      for (; i + step <= rows.length(); i += step) {
        const auto same = hn::Eq(hn::LoadU(d, xs + i), ys.load(d, i));
        hn::StoreU(hn::IfThenElseZero(same, shares.load(d, i)), d, to + i);
      }
    for (; i < rows.length(); ++i)
      to[i * rows.stride(0)] = xs[i * rows.stride(1)] == ys.at(i) ? shares.at(i) : T{0};
  });
}

template <class T>
void extremum_grad(const KernelArgs& args, const TensorView& dx) {
  const Extents& extents = args.in(1).extents;
  const TensorView count = TensorView::dense(args.workspace.data(), DType::f64, extents);
  const TensorView share =
      TensorView::dense(args.workspace.data() + count.bytes(), dx.dtype, extents);
  const TensorView y = broadcast_over(args.in(1), dx, *args.attrs);
  fill_zero(count);
  count_extrema<T>(args.in(0), y, broadcast_over(count, dx, *args.attrs));
  divide<T>(args.in(2), count, share);
  spread_extrema<T>(args.in(0), y, broadcast_over(share, dx, *args.attrs), dx);
}

void ReduceExtremumGrad(const KernelArgs& args) {
  if (args.out(0).dtype == DType::f32)
    extremum_grad<float>(args, args.out(0));
  else
    extremum_grad<double>(args, args.out(0));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
HWY_EXPORT(ReduceSum);
HWY_EXPORT(ReduceSumSquare);
HWY_EXPORT(ReduceMean);
HWY_EXPORT(ReduceMax);
HWY_EXPORT(ReduceMin);
HWY_EXPORT(ReduceSumGrad);
HWY_EXPORT(ReduceSumSquareGrad);
HWY_EXPORT(ReduceExtremumGrad);

namespace {
bool is_f32_or_f64(const KernelArgs& args) {
  const DType dtype = args.out(0).dtype;
  return (dtype == DType::f32 || dtype == DType::f64) && args.in(0).dtype == dtype;
}
bool is_summable(const KernelArgs& args) {
  return is_f32_or_f64(args) ||
         (args.in(0).dtype == DType::bf16 && args.out(0).dtype == DType::f32);
}
/// For each element of y a count and a share of dy.
std::size_t share_bytes(const KernelArgs& args) {
  const TensorView& y = args.in(1);
  return static_cast<std::size_t>(y.elements()) * (sizeof(double) + size_of(y.dtype));
}
}  // namespace

void register_reduce_cpu(KernelRegistry& registry) {
  const auto add = [&](const char* op, void (*run)(const KernelArgs&)) {
    registry.add({.op = op, .variant = "simd", .run = run, .supports = is_f32_or_f64});
  };
  registry.add({.op = "ReduceSum",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(ReduceSum),
                .supports = is_summable});
  add("ReduceSumSquare", HPDLF_SIMD_KERNEL(ReduceSumSquare));
  add("ReduceMean", HPDLF_SIMD_KERNEL(ReduceMean));
  add("ReduceMax", HPDLF_SIMD_KERNEL(ReduceMax));
  add("ReduceMin", HPDLF_SIMD_KERNEL(ReduceMin));
  add("ReduceSumGrad", HPDLF_SIMD_KERNEL(ReduceSumGrad));
  add("ReduceSumSquareGrad", HPDLF_SIMD_KERNEL(ReduceSumSquareGrad));
  registry.add({.op = "ReduceExtremumGrad",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(ReduceExtremumGrad),
                .supports = is_f32_or_f64,
                .workspace = share_bytes});
}
}  // namespace hpdlf::codelets
#endif
