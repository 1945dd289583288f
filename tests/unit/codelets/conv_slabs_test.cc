// Convolutions that take more scratch memory than they may run slab by slab: the same result, and little memory.
#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

#include "base/dtype.hpp"
#include "codelets/kernel.hpp"
#include "support/kernel_call.hpp"

namespace hpdlf::codelets {
namespace {

using Ints = std::vector<std::int64_t>;
constexpr std::size_t kMiB = std::size_t{1} << 20;

const Kernel& onednn_kernel(const char* op) {
  const auto kernels = kernel_registry().find(op, "cpu");
  return *std::find_if(kernels.begin(), kernels.end(),
                       [](const Kernel& k) { return k.variant == "onednn"; });
}

/// Small whole numbers: sums of their products are exact, in whichever order.
template <class T>
std::vector<T> draw(const Extents& extents, std::int64_t step) {
  std::vector<T> values(static_cast<std::size_t>(extents.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = T(static_cast<float>(static_cast<std::int64_t>(i) * step % 5 - 2));
  return values;
}

Attrs attrs_of(std::int64_t stride) {
  return {{"kernel_shape", Ints(3, 3)},
          {"strides", Ints(3, stride)},
          {"pads", Ints(6, 1)},
          {"dilations", Ints{}},
          {"group", std::int64_t{1}}};
}

template <class T>
std::vector<float> weight_gradient(DType dtype) {
  const Extents x_extents{1, 64, 96, 96, 64}, dy_extents{1, 32, 48, 48, 4}, dw{4, 3, 3, 3, 64};
  auto x = draw<T>(x_extents, 7919), dy = draw<T>(dy_extents, 104729);
  std::vector<float> result(static_cast<std::size_t>(dw.elements()), 1);
  const std::vector<TensorView> inputs = {TensorView::dense(x.data(), dtype, x_extents),
                                          TensorView::dense(dy.data(), dtype, dy_extents)};
  const std::vector<TensorView> outputs = {TensorView::dense(result.data(), DType::f32, dw)};
  const Attrs attrs = attrs_of(2);
  const KernelArgs args{.inputs = inputs, .outputs = outputs, .attrs = &attrs, .accumulate = true};
  const Kernel& kernel = onednn_kernel("ConvGradWeight");
  if (dtype == DType::bf16) {  // x alone is 72 MiB, and oneDNN turns a copy of it around
    EXPECT_LT(kernel.workspace(args), 80 * kMiB);
  }
  test::run_kernel(kernel, args);
  return result;
}

TEST(ConvSlabs, OfAWeightGradientInBf16GiveThatInF32) {
  const auto expected = weight_gradient<float>(DType::f32);

  const auto found = weight_gradient<bfloat16>(DType::bf16);

  ASSERT_NE(*std::max_element(expected.begin(), expected.end()), 1);
  EXPECT_EQ(found, expected);
}

std::vector<float> input_gradient(float before) {
  const Extents dx{1, 64, 96, 96, 32}, dy_extents{1, 32, 48, 48, 8}, w_extents{8, 3, 3, 3, 32};
  auto dy = draw<float>(dy_extents, 7919), w = draw<float>(w_extents, 104729);
  std::vector<float> result(static_cast<std::size_t>(dx.elements()), before);
  const std::vector<TensorView> inputs = {TensorView::dense(dy.data(), DType::f32, dy_extents),
                                          TensorView::dense(w.data(), DType::f32, w_extents)};
  const std::vector<TensorView> outputs = {TensorView::dense(result.data(), DType::f32, dx)};
  const Attrs attrs = attrs_of(2);
  KernelArgs args{.inputs = inputs, .outputs = outputs, .attrs = &attrs};
  const Kernel& kernel = onednn_kernel("ConvGradInput");
  const std::size_t without_copies = kernel.workspace(args);
  args.accumulate = before != 0;  // copies dx, 72 MiB
  EXPECT_LT(kernel.workspace(args), without_copies + 48 * kMiB);
  test::run_kernel(kernel, args);
  return result;
}

TEST(ConvSlabs, OfAGradientByXAddToWhatIsThere) {
  auto expected = input_gradient(0);
  for (float& value : expected) value += 3;

  const auto found = input_gradient(3);

  ASSERT_NE(*std::max_element(expected.begin(), expected.end()), 3);
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace hpdlf::codelets
