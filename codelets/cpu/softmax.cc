// Softmax and its gradient on the CPU. Formulas: graph/ops/softmax.cc.
//
// Long vectors that lie dense are computed one after the other, along the registers; all others (an outer axis, or a few classes) side
// by side, one a lane.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/softmax.hpp"

#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/softmax.cc"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/softmax-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

constexpr std::int64_t kLongVector =
    32;  // from 4 registers on, reducing across the lanes of one is little

/// The operands seen as vectors of `k` elements `stride[i]` apart in operand i; `rest` lacks the axis.
struct Vectors {
  std::int64_t k;
  std::vector<std::int64_t> stride;
  std::vector<TensorView> rest;

  Vectors(const Attrs& attrs, std::initializer_list<const TensorView*> views) {
    const int rank = (*views.begin())->rank();
    const auto given = static_cast<int>(attrs.integer("axis"));
    const int axis = given < 0 ? given + rank : given;
    k = (*views.begin())->extents[axis];
    for (const auto* view : views) {
      stride.push_back(view->strides[axis]);
      rest.push_back(at_index(*view, axis, 0));
    }
  }
  [[nodiscard]] bool are_long_and_dense() const {
    return k >= kLongVector &&
           std::all_of(stride.begin(), stride.end(), [](std::int64_t s) { return s == 1; });
  }
};

void softmax_vector(const float* x, float* y, std::int64_t k) {
  const F32 d;
  auto most = number(-std::numeric_limits<double>::infinity());
  for_each_vector(k, [&](auto access, std::int64_t i) HWY_ATTR {
    // Beyond the end stands x[i] again: a 0 could be larger than all of x.
    const auto v = hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(access.count())),
                                  access.load(x + i), hn::Set(d, x[i]));
    most = hn::Max(most, v);
  });
  most = hn::MaxOfLanes(d, most);
  auto sum = hn::Zero(d);
  for_each_vector(k, [&](auto access, std::int64_t i) HWY_ATTR {
    const auto e = exp(hn::Sub(access.load(x + i), most));
    access.store(e, y + i);
    sum = hn::Add(sum,
                  hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(access.count())), e));
  });
  const auto scale = hn::Div(number(1), hn::SumOfLanes(d, sum));
  for_each_vector(k, [&](auto access, std::int64_t i)
                         HWY_ATTR { access.store(hn::Mul(access.load(y + i), scale), y + i); });
}

void Softmax(const KernelArgs& args) {
  const TensorView &x = args.in(0), &y = args.out(0);
  const Vectors v(*args.attrs, {&x, &y});
  const Rows rows({&v.rest[0], &v.rest[1]});
  auto* scratch = reinterpret_cast<float*>(args.workspace.data());
  rows.for_each([&](const std::int64_t* at) {
    const float* in = x.as<float>() + at[0];
    float* out = y.as<float>() + at[1];
    const std::int64_t in_step = rows.stride(0), out_step = rows.stride(1);
    if (v.are_long_and_dense()) {
      for (std::int64_t i = 0; i < rows.length(); ++i)
        softmax_vector(in + i * in_step, out + i * out_step, v.k);
      return;
    }
    for_each_block(rows.length(), in_step, [&](const Lanes& block, std::int64_t i) HWY_ATTR {
      const auto most = load_block(block, in + i * in_step, v.stride[0], v.k, scratch);
      const auto scale = hn::Div(number(1), exponentiate_block(most, v.k, scratch));
      const Lanes to(out_step, block.count());
      for (std::int64_t c = 0; c < v.k; ++c)
        to.store(hn::Mul(hn::Load(F32(), scratch + c * lanes()), scale),
                 out + i * out_step + c * v.stride[1]);
    });
  });
}

void softmax_grad_vector(const float* y, const float* dy, float* dx, std::int64_t k) {
  auto dot = hn::Zero(F32());
  for_each_vector(k, [&](auto access, std::int64_t i) HWY_ATTR {
    dot = hn::MulAdd(access.load(y + i), access.load(dy + i), dot);
  });
  dot = hn::SumOfLanes(F32(), dot);
  for_each_vector(k, [&](auto access, std::int64_t i) HWY_ATTR {
    access.store(hn::Mul(access.load(y + i), hn::Sub(access.load(dy + i), dot)), dx + i);
  });
}

void SoftmaxGrad(const KernelArgs& args) {
  const TensorView &y = args.in(0), &dy = args.in(1), &dx = args.out(0);
  const Vectors v(*args.attrs, {&y, &dy, &dx});
  const Rows rows({&v.rest[0], &v.rest[1], &v.rest[2]});
  rows.for_each([&](const std::int64_t* at) {
    const float *value = y.as<float>() + at[0], *gradient = dy.as<float>() + at[1];
    float* out = dx.as<float>() + at[2];
    const std::int64_t steps[] = {rows.stride(0), rows.stride(1), rows.stride(2)};
    if (v.are_long_and_dense()) {
      for (std::int64_t i = 0; i < rows.length(); ++i)
        softmax_grad_vector(value + i * steps[0], gradient + i * steps[1], out + i * steps[2], v.k);
      return;
    }
    for_each_block(rows.length(), steps[0], [&](const Lanes& values, std::int64_t i) HWY_ATTR {
      const Lanes gradients(steps[1], values.count()), to(steps[2], values.count());
      const float *vs = value + i * steps[0], *gs = gradient + i * steps[1];
      auto dot = hn::Zero(F32());
      for (std::int64_t c = 0; c < v.k; ++c)
        dot = hn::MulAdd(values.load(vs + c * v.stride[0]), gradients.load(gs + c * v.stride[1]),
                         dot);
      for (std::int64_t c = 0; c < v.k; ++c) {
        const auto g = hn::Sub(gradients.load(gs + c * v.stride[1]), dot);
        to.store(hn::Mul(values.load(vs + c * v.stride[0]), g),
                 out + i * steps[2] + c * v.stride[2]);
      }
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {

HWY_EXPORT(Softmax);
HWY_EXPORT(SoftmaxGrad);

void register_softmax_cpu(KernelRegistry& registry) {
  registry.add({.op = "Softmax",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(Softmax),
                .workspace = [](const KernelArgs& args) {
                  const auto axis = static_cast<int>(args.attrs->integer("axis"));
                  const Extents& x = args.in(0).extents;
                  return softmax_scratch_bytes(x[axis < 0 ? axis + x.rank() : axis]);
                }});
  registry.add({.op = "SoftmaxGrad", .variant = "simd", .run = HPDLF_SIMD_KERNEL(SoftmaxGrad)});
}

}  // namespace hpdlf::codelets
#endif
