// Normalisation on the CPU: statistics, their use and the way back, each one pass over memory. Formulas: graph/ops/norm.cc.
//
// Statistics are f64 sums of exact f64 terms, so that the cut of a tensor does not show in them. Per element all is f32, written as
//   z = (x - shift) * scale + offset,   shift = f32(mean), offset = beta + (shift - mean) * scale
// which stays exact where mean >> standard deviation: x - shift loses nothing, and what rounding the mean lost is in `offset`.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/norm.cc"
#include <algorithm>
#include <cmath>
#include <vector>

#include "codelets/cpu/prefetch.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/activation-inl.hpp"
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// Element c of a per-channel parameter.
float channel(const TensorView& v, std::int64_t c) { return v.as<float>()[c * v.strides[0]]; }
/// sums[group, which, c] of statistics [n|1, 2, c].
double& sum_at(const TensorView& sums, std::int64_t group, int which, std::int64_t c) {
  return sums.as<double>()[group * sums.strides[0] + which * sums.strides[1] + c * sums.strides[2]];
}

/// The part of x whose statistics are row `group` of `sums`: one sample, or all of it.
TensorView group_of(const TensorView& x, const TensorView& sums, std::int64_t group) {
  return sums.extents[0] == 1 ? x : at_index(x, 0, group);
}
/// Elements that a statistic of the whole tensor sums over.
double count_of(const TensorView& x, const TensorView& sums) {
  const std::int64_t count = x.whole.elements() / x.whole.back() / sums.whole[0];
  return static_cast<double>(count);
}

struct Moment {
  double mean, inverse_std;
};
/// One a channel, of group `group`.
std::vector<Moment> moments_of(const TensorView& sums, std::int64_t group, double count,
                               double epsilon) {
  std::vector<Moment> moments;
  for (std::int64_t c = 0; c < sums.extents[2]; ++c) {
    const double mean = sum_at(sums, group, 0, c) / count;
    const double variance = std::max(0.0, sum_at(sums, group, 1, c) / count - mean * mean);
    moments.push_back({mean, 1 / std::sqrt(variance + epsilon)});
  }
  return moments;
}

/// z = (x - shift) * scale + offset for every element of a period.
struct Affine {
  std::vector<float> shift, scale, offset;

  Affine(const ChannelPattern& pattern, const TensorView& gamma, const TensorView& beta,
         const std::vector<Moment>& moments)
      : shift(pattern.expand([&](std::int64_t c) { return moments[at(c)].mean; })),
        scale(pattern.expand(
            [&](std::int64_t c) { return channel(gamma, c) * moments[at(c)].inverse_std; })),
        offset(pattern.expand([&](std::int64_t c) {
          const Moment& m = moments[at(c)];
          return channel(beta, c) + rounding(m) * channel(gamma, c) * m.inverse_std;
        })) {}
  /// shift - mean.
  static double rounding(const Moment& m) { return static_cast<float>(m.mean) - m.mean; }
  static std::size_t at(std::int64_t c) { return static_cast<std::size_t>(c); }
};

template <class T, class Activation>
void normalize(const TensorView& x, const TensorView& y, const ChannelPattern& pattern,
               const Affine& affine, const Activation& activation) {
  const float *shift = affine.shift.data(), *scale = affine.scale.data(),
              *offset = affine.offset.data();
  const auto rows = Rows::dense({&x, &y});
  rows.for_each([&](const std::int64_t* at) {
    const T* in = x.as<T>() + at[0];
    T* out = y.as<T>() + at[1];
    const Writer writer(out, y.bytes(), pattern.period);
    pattern.for_each_vector(rows.length(),
                            [=](auto access, std::int64_t i, std::int64_t j) HWY_ATTR {
                              prefetch_ahead(in + i);
                              const auto d = hn::Sub(access.load(in + i), load(shift + j));
                              const auto z = hn::MulAdd(d, load(scale + j), load(offset + j));
                              writer.store(access, activation.value(z), out + i);
                            });
  });
  hwy::FlushStream();
}

void Normalize(const KernelArgs& args) {
  const TensorView &x = args.in(0), &sums = args.in(1), &gamma = args.in(2), &beta = args.in(3),
                   &y = args.out(0);
  const ChannelPattern pattern(x.extents.back());
  const double count = count_of(x, sums), epsilon = args.attrs->real("epsilon");
  for (std::int64_t g = 0; g < sums.extents[0]; ++g) {
    const Affine affine(pattern, gamma, beta, moments_of(sums, g, count, epsilon));
    with_storage(x.dtype, [&](auto type) {
      with_activation(*args.attrs, [&](const auto& activation) {
        normalize<decltype(type)>(group_of(x, sums, g), group_of(y, sums, g), pattern, affine,
                                  activation);
      });
    });
  }
}

void NormalizeCoefficients(const KernelArgs& args) {
  const TensorView &sums = args.in(0), &out = args.out(0);
  const ChannelPattern pattern(sums.extents[2]);
  const auto count = static_cast<double>(args.attrs->integer("count"));
  for (std::int64_t g = 0; g < sums.extents[0]; ++g) {
    const Affine affine(pattern, args.in(1), args.in(2),
                        moments_of(sums, g, count, args.attrs->real("epsilon")));
    float* to = out.as<float>() + g * out.strides[0];
    for (const auto* numbers : {&affine.shift, &affine.scale, &affine.offset}) {
      for (std::int64_t c = 0; c < pattern.channels; ++c)
        to[c * out.strides[2]] = (*numbers)[static_cast<std::size_t>(c)];
      to += out.strides[1];
    }
  }
}

void NormalizeInference(const KernelArgs& args) {
  const TensorView &x = args.in(0), &mean = args.in(1), &variance = args.in(2);
  const ChannelPattern pattern(x.extents.back());
  const double epsilon = args.attrs->real("epsilon");
  std::vector<Moment> moments;
  for (std::int64_t c = 0; c < pattern.channels; ++c)
    moments.push_back({channel(mean, c), 1 / std::sqrt(channel(variance, c) + epsilon)});
  const Affine affine(pattern, args.in(3), args.in(4), moments);
  with_storage(x.dtype, [&](auto type) {
    with_activation(*args.attrs, [&](const auto& activation) {
      normalize<decltype(type)>(x, args.out(0), pattern, affine, activation);
    });
  });
}

template <class T>
void add_moments(const TensorView& x, const ChannelPattern& pattern, double* sum,
                 double* sum_squares) {
  const auto rows = Rows::dense({&x});
  const std::int64_t period = pattern.period;
  rows.for_each([&](const std::int64_t* at) {
    const T* in = x.as<T>() + at[0];
    pattern.for_each_column(rows.length(), [=](auto access, std::int64_t i, std::int64_t j,
                                               std::int64_t repeats) HWY_ATTR {
      Sum64 s, q;
      for (std::int64_t r = 0; r < repeats; ++r) {
        prefetch_ahead(in + i + r * period);
        const Wide v(access.load(in + i + r * period));
        s.add(v);
        q.add_product(v, v);
      }
      s.add_to(sum + j);
      q.add_to(sum_squares + j);
    });
  });
}

void Moments(const KernelArgs& args) {
  const TensorView &x = args.in(0), &sums = args.out(0);
  const ChannelPattern pattern(x.extents.back());
  for (std::int64_t g = 0; g < sums.extents[0]; ++g) {
    std::vector<double> sum(pattern.padded()), sum_squares(pattern.padded());
    with_storage(x.dtype, [&](auto type) {
      add_moments<decltype(type)>(group_of(x, sums, g), pattern, sum.data(), sum_squares.data());
    });
    for (std::int64_t c = 0; c < pattern.channels; ++c) {
      sum_at(sums, g, 0, c) = pattern.fold(sum, c);
      sum_at(sums, g, 1, c) = pattern.fold(sum_squares, c);
    }
  }
}

/// Adds dz and dz * (x - shift) over one group.
template <class T, class Activation>
void add_gradient_sums(const TensorView& x, const TensorView& dy, const ChannelPattern& pattern,
                       const Affine& affine, const Activation& activation, double* sum,
                       double* sum_product) {
  const float *shift = affine.shift.data(), *scale = affine.scale.data(),
              *offset = affine.offset.data();
  const std::int64_t period = pattern.period;
  const auto rows = Rows::dense({&x, &dy});
  rows.for_each([&](const std::int64_t* at) {
    const T *in = x.as<T>() + at[0], *gradient = dy.as<T>() + at[1];
    pattern.for_each_column(rows.length(), [=](auto access, std::int64_t i, std::int64_t j,
                                               std::int64_t repeats) HWY_ATTR {
      const auto m = load(shift + j), a = load(scale + j), b = load(offset + j);
      Sum64 s, p;
      for (std::int64_t r = 0; r < repeats; ++r) {
        prefetch_ahead(in + i + r * period);
        prefetch_ahead(gradient + i + r * period);
        const auto d = hn::Sub(access.load(in + i + r * period), m);
        const Wide dz(
            activation.gradient(hn::MulAdd(d, a, b), access.load(gradient + i + r * period)));
        s.add(dz);
        p.add_product(dz, Wide(d));
      }
      s.add_to(sum + j);
      p.add_to(sum_product + j);
    });
  });
}

void NormalizeGradSums(const KernelArgs& args) {
  const TensorView &x = args.in(0), &sums = args.in(1), &dy = args.in(4), &gsums = args.out(0);
  const ChannelPattern pattern(x.extents.back());
  const double count = count_of(x, sums), epsilon = args.attrs->real("epsilon");
  for (std::int64_t g = 0; g < sums.extents[0]; ++g) {
    const auto moments = moments_of(sums, g, count, epsilon);
    const Affine affine(pattern, args.in(2), args.in(3), moments);
    std::vector<double> sum(pattern.padded()), sum_product(pattern.padded());
    with_storage(x.dtype, [&](auto type) {
      with_activation(*args.attrs, [&](const auto& activation) {
        add_gradient_sums<decltype(type)>(group_of(x, sums, g), group_of(dy, sums, g), pattern,
                                          affine, activation, sum.data(), sum_product.data());
      });
    });
    for (std::int64_t c = 0; c < pattern.channels; ++c) {
      const Moment& m = moments[Affine::at(c)];
      const double dz = pattern.fold(sum, c), dz_shifted = pattern.fold(sum_product, c);
      sum_at(gsums, g, 0, c) = dz;
      sum_at(gsums, g, 1, c) = m.inverse_std * (dz_shifted + Affine::rounding(m) * dz);
    }
  }
}

/// What the statistics' own derivatives add to dx: slope * (x - shift) + constant.
struct Correction {
  std::vector<float> slope, constant;
};

/// dx = scale * dz + slope * (x - shift) + constant over one group. Two convolutions read dx at once: it is not written past the caches.
template <class T, class Activation>
void gradient_input(const TensorView& x, const TensorView& dy, const TensorView& dx,
                    const ChannelPattern& pattern, const Affine& affine,
                    const Correction& correction, const Activation& activation) {
  const float *shift = affine.shift.data(), *scale = affine.scale.data();
  const float* offset = affine.offset.data();
  const float *slope = correction.slope.data(), *constant = correction.constant.data();
  const auto rows = Rows::dense({&x, &dy, &dx});
  rows.for_each([&](const std::int64_t* at) {
    const T *in = x.as<T>() + at[0], *gradient = dy.as<T>() + at[1];
    T* out = dx.as<T>() + at[2];
    pattern.for_each_vector(rows.length(),
                            [=](auto access, std::int64_t i, std::int64_t j) HWY_ATTR {
                              prefetch_ahead(in + i);
                              prefetch_ahead(gradient + i);
                              const auto a = load(scale + j);
                              const auto d = hn::Sub(access.load(in + i), load(shift + j));
                              const auto z = hn::MulAdd(d, a, load(offset + j));
                              const auto dz = activation.gradient(z, access.load(gradient + i));
                              const auto rest = hn::MulAdd(d, load(slope + j), load(constant + j));
                              access.store(hn::MulAdd(a, dz, rest), out + i);
                            });
  });
}

void NormalizeGradInput(const KernelArgs& args) {
  const TensorView &x = args.in(0), &sums = args.in(1), &gamma = args.in(2), &dy = args.in(4);
  const TensorView &gsums = args.in(5), &dx = args.out(0);
  const ChannelPattern pattern(x.extents.back());
  const double count = count_of(x, sums), epsilon = args.attrs->real("epsilon");
  for (std::int64_t g = 0; g < sums.extents[0]; ++g) {
    const auto moments = moments_of(sums, g, count, epsilon);
    const auto slope = [&](std::int64_t c) {
      const double r = moments[Affine::at(c)].inverse_std;
      return -channel(gamma, c) * r * r * sum_at(gsums, g, 1, c) / count;
    };
    const auto constant = [&](std::int64_t c) {
      const Moment& m = moments[Affine::at(c)];
      return slope(c) * Affine::rounding(m) -
             channel(gamma, c) * m.inverse_std * sum_at(gsums, g, 0, c) / count;
    };
    const Affine affine(pattern, gamma, args.in(3), moments);
    const Correction correction{pattern.expand(slope), pattern.expand(constant)};
    with_storage(x.dtype, [&](auto type) {
      with_activation(*args.attrs, [&](const auto& activation) {
        gradient_input<decltype(type)>(group_of(x, sums, g), group_of(dy, sums, g),
                                       group_of(dx, sums, g), pattern, affine, correction,
                                       activation);
      });
    });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
namespace {

HWY_EXPORT(Moments);
HWY_EXPORT(Normalize);
HWY_EXPORT(NormalizeCoefficients);
HWY_EXPORT(NormalizeInference);
HWY_EXPORT(NormalizeGradSums);
HWY_EXPORT(NormalizeGradInput);

// The rest touches channels only.

void normalize_grad_params(const KernelArgs& args) {
  const TensorView &gsums = args.in(0), &dgamma = args.out(0), &dbeta = args.out(1);
  for (std::int64_t c = 0; c < gsums.extents[2]; ++c) {
    double scale = 0, shift = 0;
    for (std::int64_t n = 0; n < gsums.extents[0]; ++n) {
      const double* at = gsums.as<double>() + n * gsums.strides[0] + c * gsums.strides[2];
      shift += at[0];
      scale += at[gsums.strides[1]];
    }
    dgamma.as<float>()[c * dgamma.strides[0]] = static_cast<float>(scale);
    dbeta.as<float>()[c * dbeta.strides[0]] = static_cast<float>(shift);
  }
}

void running_moments(const KernelArgs& args) {
  const TensorView& sums = args.in(0);
  const double momentum = args.attrs->real("momentum");
  const auto count = static_cast<double>(args.attrs->integer("count"));
  for (std::int64_t c = 0; c < sums.extents[2]; ++c) {
    const double* at = sums.as<double>() + c * sums.strides[2];
    const double mean = at[0] / count;
    const double variance =
        (at[sums.strides[1]] - at[0] * mean) / (count - 1);  // unbiased, as PyTorch keeps it
    const auto update = [&](const TensorView& from, const TensorView& to, double now) {
      const double before = from.as<float>()[c * from.strides[0]];
      to.as<float>()[c * to.strides[0]] = static_cast<float>(before + momentum * (now - before));
    };
    update(args.in(1), args.out(0), mean);
    update(args.in(2), args.out(1), std::max(0.0, variance));
  }
}

}  // namespace

void register_norm_cpu(KernelRegistry& registry) {
  registry.add({.op = "Moments", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Moments)});
  registry.add({.op = "Normalize", .variant = "simd", .run = HPDLF_SIMD_KERNEL(Normalize)});
  registry.add({.op = "NormalizeCoefficients",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(NormalizeCoefficients)});
  registry.add({.op = "NormalizeInference",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(NormalizeInference)});
  registry.add(
      {.op = "NormalizeGradSums", .variant = "simd", .run = HPDLF_SIMD_KERNEL(NormalizeGradSums)});
  registry.add({.op = "NormalizeGradInput",
                .variant = "simd",
                .run = HPDLF_SIMD_KERNEL(NormalizeGradInput)});
  registry.add({.op = "NormalizeGradParams", .variant = "plain", .run = normalize_grad_params});
  registry.add({.op = "RunningMoments", .variant = "plain", .run = running_moments});
}

}  // namespace hpdlf::codelets
#endif
