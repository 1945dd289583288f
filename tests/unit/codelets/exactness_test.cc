// What tolerances cannot show: results to the last bit, and numbers that are none.
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "codelets/kernel.hpp"
#include "support/kernel_call.hpp"

namespace hpdlf::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Numbers that differ in every bit of their mantissas.
std::vector<float> numbers(std::int64_t n, int seed) {
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    v[static_cast<std::size_t>(i)] =
        static_cast<float>(std::sin(seed + 1.7 * static_cast<double>(i)));
  return v;
}

/// State of an optimizer over one parameter of 7 x 131 elements; runs it whole or in parts of `columns`.
class OptimizerRun {
 public:
  OptimizerRun(std::string op, Attrs attrs, int states)
      : op_(std::move(op)), attrs_(std::move(attrs)) {
    for (int i = 0; i < 2 + states; ++i) tensors_.push_back(numbers(kRows * kColumns, i));
    for (auto& x : tensors_.back()) x = std::abs(x);  // a mean of squares
  }
  std::vector<std::vector<float>> after_step(std::int64_t columns) {
    std::vector<std::vector<float>> tensors = tensors_;
    for (std::int64_t start = 0; start < kColumns; start += columns) {
      std::vector<TensorView> inputs, outputs;
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        const TensorView whole =
            TensorView::dense(tensors[i].data(), DType::f32, {kRows, kColumns});
        inputs.push_back(whole.slice({{0, start}, {kRows, std::min(start + columns, kColumns)}}));
        if (i != 1) outputs.push_back(inputs.back());  // all but the gradient, in place
      }
      inputs.push_back(TensorView::dense(&rate_, DType::f32, {}));
      if (op_ == "AdamW") inputs.push_back(TensorView::dense(&step_, DType::f32, {}));
      run_kernel(op_, {.inputs = inputs, .outputs = outputs, .attrs = &attrs_});
    }
    return tensors;
  }

 private:
  static constexpr std::int64_t kRows = 7, kColumns = 131;
  std::string op_;
  Attrs attrs_;
  std::vector<std::vector<float>> tensors_;
  float rate_ = 0.01F, step_ = 3;
};

void expect_same_bits(OptimizerRun run) {
  const auto whole = run.after_step(131);
  for (const std::int64_t columns : {1, 8, 13, 64, 130})
    for (std::size_t i = 0; i < whole.size(); ++i) {
      const auto parts = run.after_step(columns);
      EXPECT_EQ(std::memcmp(parts[i].data(), whole[i].data(), whole[i].size() * sizeof(float)), 0)
          << "tensor " << i << " in parts of " << columns << " columns";
    }
}

TEST(SgdKernel, GivesTheSameBitsHoweverItIsCut) {
  expect_same_bits({"SGD",
                    {{"momentum", 0.9},
                     {"dampening", 0.0},
                     {"nesterov", std::int64_t{1}},
                     {"weight_decay", 0.01}},
                    1});
}

TEST(AdamWKernel, GivesTheSameBitsHoweverItIsCut) {
  expect_same_bits(
      {"AdamW", {{"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-8}, {"weight_decay", 0.01}}, 2});
}

/// y = op(x), x of 19 elements with a NaN at 3.
std::vector<float> with_nan(const std::string& op, const Attrs& attrs, const Extents& extents) {
  std::vector<float> x = numbers(extents.elements(), 5), y(x.size());
  x[3] = kNaN;
  const TensorView in = TensorView::dense(x.data(), DType::f32, extents),
                   out = TensorView::dense(y.data(), DType::f32, extents);
  run_kernel(op, {.inputs = {&in, 1}, .outputs = {&out, 1}, .attrs = &attrs});
  return y;
}

TEST(ActivationKernels, KeepNaN) {
  const std::pair<std::string, Attrs> activations[] = {
      {"Relu", {}},
      {"LeakyRelu", {{"alpha", 0.1}}},
      {"Sigmoid", {}},
      {"Tanh", {}},
      {"Gelu", {{"approximate", std::string("none")}}},
      {"Gelu", {{"approximate", std::string("tanh")}}}};
  for (const auto& [op, attrs] : activations) {
    const auto y = with_nan(op, attrs, {19});
    for (std::size_t i = 0; i < y.size(); ++i)
      EXPECT_EQ(std::isnan(y[i]), i == 3) << op << ", element " << i;
  }
}

TEST(SoftmaxKernel, SpreadsNaNOverItsVectorOnly) {
  for (const auto& extents : {Extents{9, 5}, Extents{5, 67}}) {
    const auto y = with_nan("Softmax", {{"axis", std::int64_t{1}}}, extents);
    for (std::size_t i = 0; i < y.size(); ++i)
      EXPECT_EQ(std::isnan(y[i]), static_cast<std::int64_t>(i) < extents[1])
          << "element " << i << " of " << to_string(extents);
  }
}

TEST(CrossEntropySumsKernel, ShowsNaNOfAnyClass) {
  std::vector<float> logits = numbers(19 * 5, 5);
  logits[3] = kNaN;
  std::vector<std::uint8_t> labels(19, 0);
  double sums[2];
  const std::vector<TensorView> in = {TensorView::dense(logits.data(), DType::f32, {19, 5}),
                                      TensorView::dense(labels.data(), DType::u8, {19})};
  const std::vector<TensorView> out = {TensorView::dense(sums, DType::f64, {2})};
  const Attrs attrs = {{"ignore_index", std::int64_t{-1}}};

  run_kernel("CrossEntropySums", {.inputs = in, .outputs = out, .attrs = &attrs});

  EXPECT_TRUE(std::isnan(sums[0])) << sums[0];
  EXPECT_EQ(sums[1], 19);
}

TEST(ReduceExtremumGradKernel, CountsMoreTiesThanF32Holds) {
  constexpr std::int64_t kCount = 5 << 22;  // 2^24 and a quarter of it
  float x = 3, dx = -1, y = 3, dy = kCount;
  // One element of memory stands for all.
  const TensorView same{&x, DType::f32, {kCount}, {0}, {0}, {kCount}};
  const std::vector<TensorView> in = {same, TensorView::dense(&y, DType::f32, {}),
                                      TensorView::dense(&dy, DType::f32, {})};
  TensorView out = same;
  out.data = &dx;
  const Attrs attrs = {{"axes", std::vector<std::int64_t>{}}, {"keepdims", std::int64_t{0}}};

  run_kernel("ReduceExtremumGrad", {.inputs = in, .outputs = {&out, 1}, .attrs = &attrs});

  EXPECT_EQ(dx, 1);
}

}  // namespace
}  // namespace hpdlf::test
