// Error bounds of the elementary functions on registers, for every instruction set of this machine that the kernels are compiled for.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/unit/codelets/simd_math_test.cc"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

template <class Function>
void apply(std::vector<float>& x, Function f) {
  for_each_vector(static_cast<std::int64_t>(x.size()), [&](auto access, std::int64_t i) HWY_ATTR {
    access.store(f(access.load(x.data() + i)), x.data() + i);
  });
}

void Exp(std::vector<float>& x) {
  apply(x, [](VF32 v) HWY_ATTR { return exp(v); });
}
void Log(std::vector<float>& x) {
  apply(x, [](VF32 v) HWY_ATTR { return log(v); });
}
void Tanh(std::vector<float>& x) {
  apply(x, [](VF32 v) HWY_ATTR { return tanh(v); });
}
void Sigmoid(std::vector<float>& x) {
  apply(x, [](VF32 v) HWY_ATTR { return sigmoid(v); });
}
void Erfc(std::vector<float>& x) {
  apply(x, [](VF32 v) HWY_ATTR { return erfc_positive(v); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
namespace {

HWY_EXPORT(Exp);
HWY_EXPORT(Log);
HWY_EXPORT(Tanh);
HWY_EXPORT(Sigmoid);
HWY_EXPORT(Erfc);

std::vector<float> spread(double low, double high) {
  std::vector<float> x;
  for (int i = 0; i <= 200001; ++i)
    x.push_back(static_cast<float>(low + (high - low) * i / 200001));
  return x;
}

/// Largest |f(x) - exact(x)| / |exact(x)|.
double relative_error(void (*f)(std::vector<float>&), double (*exact)(double), double low,
                      double high) {
  const std::vector<float> x = spread(low, high);
  std::vector<float> y = x;
  f(y);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (const double expected = exact(x[i]); expected != 0)
      worst = std::max(worst, std::abs(y[i] - expected) / std::abs(expected));
  return worst;
}

class SimdMath : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

constexpr double kUlp = 0x1p-23;

TEST_P(SimdMath, ExpIsWithinOneAndAHalfUlp) {
  const auto run = [](std::vector<float>& x) { HWY_DYNAMIC_DISPATCH(Exp)(x); };
  EXPECT_LT(relative_error(run, std::exp, -87.3, 88), 1.5 * kUlp);
}

TEST_P(SimdMath, ExpOfVerySmallIsZero) {
  std::vector<float> x = {-87.5F, -1e3F, -std::numeric_limits<float>::infinity()};
  HWY_DYNAMIC_DISPATCH(Exp)(x);
  for (const float y : x) EXPECT_EQ(y, 0);
}

TEST_P(SimdMath, LogIsWithinTwoUlpAwayFromOne) {
  const auto run = [](std::vector<float>& x) { HWY_DYNAMIC_DISPATCH(Log)(x); };
  EXPECT_LT(relative_error(run, std::log, 1.1, 300), 2 * kUlp);
}

TEST_P(SimdMath, TanhIsWithinFourUlp) {
  const auto run = [](std::vector<float>& x) { HWY_DYNAMIC_DISPATCH(Tanh)(x); };
  EXPECT_LT(relative_error(run, std::tanh, -12, 12), 4 * kUlp);
}

TEST_P(SimdMath, SigmoidIsWithinThreeUlp) {
  const auto run = [](std::vector<float>& x) { HWY_DYNAMIC_DISPATCH(Sigmoid)(x); };
  EXPECT_LT(relative_error(
                run, [](double x) { return 1 / (1 + std::exp(-x)); }, -87, 40),
            3 * kUlp);
}

TEST_P(SimdMath, ErfcKeepsItsRelativeErrorInTheTail) {
  const auto run = [](std::vector<float>& x) { HWY_DYNAMIC_DISPATCH(Erfc)(x); };
  EXPECT_LT(relative_error(run, std::erfc, 0, 2), 8 * kUlp);
  EXPECT_LT(relative_error(run, std::erfc, 2, 9),
            96 * kUlp);  // rounding a^2 in exp(-a^2) costs a^2 / 2 ULP
}

TEST_P(SimdMath, NotANumberStaysOne) {
  for (void (*f)(std::vector<float>&) : {+[](std::vector<float>& x) {
                                           HWY_DYNAMIC_DISPATCH(Exp)
                                           (x);
                                         },
                                         +[](std::vector<float>& x) {
                                           HWY_DYNAMIC_DISPATCH(Log)
                                           (x);
                                         },
                                         +[](std::vector<float>& x) {
                                           HWY_DYNAMIC_DISPATCH(Tanh)
                                           (x);
                                         },
                                         +[](std::vector<float>& x) {
                                           HWY_DYNAMIC_DISPATCH(Sigmoid)
                                           (x);
                                         },
                                         +[](std::vector<float>& x) {
                                           HWY_DYNAMIC_DISPATCH(Erfc)
                                           (x);
                                         }}) {
    std::vector<float> x(19, std::numeric_limits<float>::quiet_NaN());
    f(x);
    for (const float y : x) EXPECT_TRUE(std::isnan(y)) << y;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, SimdMath, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

}  // namespace
}  // namespace hpdlf::codelets
#endif
