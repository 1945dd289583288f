// Gradients where no window reaches, or without samples: they are 0, and nothing is read for them.
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "base/dtype.hpp"
#include "codelets/kernel.hpp"
#include "support/kernel_call.hpp"

namespace hpdlf::test {
namespace {

using Ints = std::vector<std::int64_t>;

/// Plane 2 of dx lies between the windows [0, 2) and [3, 5). Calibration gives the kernel one window anyway (partition/kernel_call.cc): the
/// second, of which x to the reach of a window, planes [1, 4), lacks an element.
template <class T>
std::vector<T> gradient_between_windows(DType dtype) {
  const Extents whole{1, 8, 5};
  std::vector<T> dy(5, T(1.0F)), dx(5, T(7.0F));
  TensorView x = TensorView::dense(nullptr, dtype, whole);  // to read it is to crash
  x.extents[1] = 3;
  x.origin[1] = 1;
  const std::vector<TensorView> inputs = {
      x, {dy.data(), dtype, {1, 1, 5}, {5, 5, 1}, {0, 1, 0}, {1, 3, 5}}};
  const TensorView output{dx.data(), dtype, {1, 1, 5}, {5, 5, 1}, {0, 2, 0}, whole};
  const Attrs attrs = {
      {"kernel_shape", Ints{2}}, {"strides", Ints{3}}, {"pads", Ints{}}, {"dilations", Ints{}}};
  run_kernel("MaxPoolGrad", {.inputs = inputs, .outputs = {&output, 1}, .attrs = &attrs});
  return dx;
}

TEST(MaxPoolGradKernel, ReadsNothingOfXForATileBetweenWindows) {
  EXPECT_EQ(gradient_between_windows<float>(DType::f32), std::vector<float>(5, 0.0F));
  for (const bfloat16 v : gradient_between_windows<bfloat16>(DType::bf16))
    EXPECT_EQ(static_cast<float>(v), 0);
}

/// dw of a 3x3x3 convolution of 8 channels to 8 without samples.
std::vector<float> gradient_without_samples(const codelets::Kernel& kernel, float before,
                                            bool accumulate) {
  const Extents dw{8, 3, 3, 3, 8};
  std::vector<float> result(static_cast<std::size_t>(dw.elements()), before);
  const TensorView x = TensorView::dense(nullptr, DType::f32, {0, 5, 6, 7, 8});
  const std::vector<TensorView> inputs = {x, x};
  const TensorView output = TensorView::dense(result.data(), DType::f32, dw);
  const Attrs attrs = {{"kernel_shape", Ints(3, 3)}, {"strides", Ints(3, 1)},
                       {"pads", Ints(6, 1)},         {"dilations", Ints{}},
                       {"group", std::int64_t{1}},   {"tile_depth", std::int64_t{1}}};
  run_kernel(
      kernel,
      {.inputs = inputs, .outputs = {&output, 1}, .attrs = &attrs, .accumulate = accumulate});
  return result;
}

TEST(ConvGradWeightKernels, GiveZeroWithoutSamples) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> zeros(8 * 27 * 8), threes(8 * 27 * 8, 3);
  for (const char* op : {"ConvGradWeight", "WinogradConvGradWeight"})
    for (const auto& kernel : codelets::kernel_registry().find(op, "cpu")) {
      EXPECT_EQ(gradient_without_samples(kernel, kNaN, false), zeros) << op << kernel.variant;
      EXPECT_EQ(gradient_without_samples(kernel, 3, true), threes) << op << kernel.variant;
    }
}

}  // namespace
}  // namespace hpdlf::test
