// Attention's kernels agree wherever the edges of their blocks and tiles are.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <vector>

#include "base/dtype.hpp"
#include "codelets/kernel.hpp"
#include "support/kernel_call.hpp"

namespace hpdlf::codelets {
namespace {

struct Shape {
  std::int64_t tokens, features;
  bool causal;
};
std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.tokens << " tokens of " << s.features << (s.causal ? ", causal" : "");
}

using Numbers = std::vector<float>;

TensorView view(Numbers& numbers, const Extents& extents) {
  return TensorView::dense(numbers.data(), DType::f32, extents);
}
Numbers sized(const Extents& extents) {
  return Numbers(static_cast<std::size_t>(extents.elements()), NAN);
}
Numbers sample(const Extents& extents, unsigned seed) {
  Numbers numbers = sized(extents);
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  for (float& x : numbers) x = normal(engine);
  return numbers;
}

class Attention {
 public:
  explicit Attention(const Shape& s)
      : qkv_{1, s.tokens, 2, 3, s.features},
        out_{1, s.tokens, 2, s.features},
        lse_{1, s.tokens, 2},
        attrs_{{"causal", std::int64_t{s.causal}}, {"scale", 0.3}},
        x_(sample(qkv_, 1)),
        dout_(sample(out_, 2)),
        dlse_(sample(lse_, 3)) {}

  /// out, lse, dqkv of the kernels of that number.
  std::vector<Numbers> results(std::size_t number) {
    Numbers out = sized(out_), lse = sized(lse_), dqkv = sized(qkv_);
    run("SelfAttention", number, {view(x_, qkv_)}, {view(out, out_), view(lse, lse_)});
    run("SelfAttentionGrad", number,
        {view(x_, qkv_), view(out, out_), view(lse, lse_), view(dout_, out_), view(dlse_, lse_)},
        {view(dqkv, qkv_)});
    return {out, lse, dqkv};
  }
  /// Whether both kernels can be compared.
  [[nodiscard]] bool is_for_all_kernels() {
    const std::vector<TensorView> inputs = {view(x_, qkv_)};
    const auto kernels = kernel_registry().find("SelfAttention", "cpu");
    return std::all_of(kernels.begin(), kernels.end(), [&](const Kernel& k) {
      return k.supports == nullptr || k.supports({.inputs = inputs, .attrs = &attrs_});
    });
  }

 private:
  void run(const char* op, std::size_t number, const std::vector<TensorView>& inputs,
           const std::vector<TensorView>& outputs) {
    test::run_kernel(kernel_registry().find(op, "cpu")[number],
                     {.inputs = inputs, .outputs = outputs, .attrs = &attrs_});
  }
  Extents qkv_, out_, lse_;
  Attrs attrs_;
  Numbers x_, dout_, dlse_;
};

/// The largest difference, in units of the largest number.
double difference(const Numbers& a, const Numbers& b) {
  double most = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::isfinite(a[i]) ? std::abs(double{a[i]} - double{b[i]}) : INFINITY);
    largest = std::max(largest, std::abs(double{b[i]}));
  }
  return most / largest;
}

TEST(AttentionKernels, AgreeWhereverTheirEdgesAre) {
  for (const std::int64_t tokens : {64, 65, 95, 127, 129, 160, 255, 257, 300})
    for (const std::int64_t features : {24, 31, 32, 33, 64, 65})
      for (const bool causal : {true, false}) {
        const Shape shape{tokens, features, causal};
        Attention attention(shape);
        if (!attention.is_for_all_kernels()) GTEST_SKIP() << "this processor has one of them";
        const auto found = attention.results(0), expected = attention.results(1);
        for (std::size_t i = 0; i < found.size(); ++i)
          EXPECT_LT(difference(found[i], expected[i]), 3e-6) << shape << ", result " << i;
      }
}

}  // namespace
}  // namespace hpdlf::codelets
