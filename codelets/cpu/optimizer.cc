// Optimizer steps on the CPU, one pass over parameter, gradient and state. Formulas: graph/ops/optimizer.cc.
//
// Every element goes through the same operations in the same order (explicit fused multiply-adds), so that results do not depend on
// how the parameter is cut, to the bit.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/optimizer.cc"
#include <cmath>

#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/math-inl.hpp"
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

void SGD(const KernelArgs& args) {
  const TensorView &param = args.in(0), &grad = args.in(1), &buffer = args.in(2);
  const TensorView &new_param = args.out(0), &new_buffer = args.out(1);
  const auto minus_rate = hn::Set(F32(), -*args.in(3).as<float>());
  const auto momentum = number(args.attrs->real("momentum"));
  const auto share = number(1 - args.attrs->real("dampening"));
  const auto decay = number(args.attrs->real("weight_decay"));
  const bool nesterov = args.attrs->integer("nesterov") != 0;
  const auto rows = Rows::dense({&param, &grad, &buffer, &new_param, &new_buffer});
  rows.for_each([&](const std::int64_t* at) {
    const float *p = param.as<float>() + at[0], *g = grad.as<float>() + at[1],
                *b = buffer.as<float>() + at[2];
    float *p_out = new_param.as<float>() + at[3], *b_out = new_buffer.as<float>() + at[4];
    for_each_vector(rows.length(), [=](auto access, std::int64_t i) HWY_ATTR {
      const auto before = access.load(p + i);
      const auto gradient = hn::MulAdd(decay, before, access.load(g + i));
      const auto direction = hn::MulAdd(momentum, access.load(b + i), hn::Mul(share, gradient));
      access.store(direction, b_out + i);
      const auto step = nesterov ? hn::MulAdd(momentum, direction, gradient) : direction;
      access.store(hn::MulAdd(minus_rate, step, before), p_out + i);
    });
  });
}

void AdamW(const KernelArgs& args) {
  const TensorView &param = args.in(0), &grad = args.in(1), &mean = args.in(2),
                   &square = args.in(3);
  const TensorView &new_param = args.out(0), &new_mean = args.out(1), &new_square = args.out(2);
  const double rate = *args.in(4).as<float>(), step = *args.in(5).as<float>();
  const double beta1 = args.inputs.size() > 6 ? *args.in(6).as<float>() : args.attrs->real("beta1");
  const double beta2 = args.attrs->real("beta2");
  const auto keep = number(1 - rate * args.attrs->real("weight_decay"));
  const auto mean_share = number(1 - beta1);
  const auto square_keep = number(beta2), square_share = number(1 - beta2);
  const auto minus_step_size = number(-rate / (1 - std::pow(beta1, step)));
  const auto inverse_root = number(1 / std::sqrt(1 - std::pow(beta2, step)));
  const auto epsilon = number(args.attrs->real("epsilon"));
  const auto rows =
      Rows::dense({&param, &grad, &mean, &square, &new_param, &new_mean, &new_square});
  rows.for_each([&](const std::int64_t* at) {
    const float *p = param.as<float>() + at[0], *g = grad.as<float>() + at[1];
    const float *m = mean.as<float>() + at[2], *v = square.as<float>() + at[3];
    float *p_out = new_param.as<float>() + at[4], *m_out = new_mean.as<float>() + at[5],
          *v_out = new_square.as<float>() + at[6];
    for_each_vector(rows.length(), [=](auto access, std::int64_t i) HWY_ATTR {
      const auto gradient = access.load(g + i);
      const auto before = access.load(m + i);
      const auto m1 = hn::MulAdd(mean_share, hn::Sub(gradient, before), before);
      const auto v1 = hn::MulAdd(square_keep, access.load(v + i),
                                 hn::Mul(hn::Mul(square_share, gradient), gradient));
      const auto root = hn::MulAdd(hn::Sqrt(v1), inverse_root, epsilon);
      const auto decayed = hn::Mul(keep, access.load(p + i));
      access.store(m1, m_out + i);
      access.store(v1, v_out + i);
      access.store(hn::MulAdd(minus_step_size, hn::Div(m1, root), decayed), p_out + i);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {

HWY_EXPORT(SGD);
HWY_EXPORT(AdamW);

void register_optimizer_cpu(KernelRegistry& registry) {
  registry.add({.op = "SGD", .variant = "simd", .run = HPDLF_SIMD_KERNEL(SGD)});
  registry.add({.op = "AdamW", .variant = "simd", .run = HPDLF_SIMD_KERNEL(AdamW)});
}

}  // namespace hpdlf::codelets
#endif
