#include "codelets/cpu/matrix_product.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <vector>

#include "base/philox.hpp"
#include "codelets/cpu/split_product.hpp"

namespace hpdlf::codelets {
namespace {

struct Case {
  const char* name;
  MatrixProductShape shape;
};

/// Elements up to the last that strides reach.
std::vector<float> drawn(std::int64_t rows, std::int64_t columns, const MatrixStrides& s,
                         std::uint64_t seed) {
  const Philox random(seed);
  std::vector<float> values(
      static_cast<std::size_t>((rows - 1) * s.row + (columns - 1) * s.column + 1));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random.uniform(i) - 0.5F;
  return values;
}

/// 64-byte aligned memory of its own; NaN, so that what is read before it is written shows.
class Scratch {
 public:
  explicit Scratch(std::int64_t bytes)
      : memory_(static_cast<std::size_t>(bytes) + 64, std::byte{0xff}) {}
  std::byte* data() {
    return memory_.data() + (64 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 64);
  }

 private:
  std::vector<std::byte> memory_;
};

using Multiply = void (*)(const MatrixProductShape&, const std::vector<float>& a,
                          const std::vector<float>& b, std::vector<float>& y, const float* bias);

void multiply(const MatrixProductShape& s, const std::vector<float>& a, const std::vector<float>& b,
              std::vector<float>& y, const float* bias) {
  const MatrixProduct product(s);
  product(a.data(), b.data(), y.data(), Scratch(product.scratch_bytes()).data(), bias);
}

void multiply_split(const MatrixProductShape& s, const std::vector<float>& a,
                    const std::vector<float>& b, std::vector<float>& y, const float* bias) {
  split_product(s, a.data(), b.data(), y.data(), bias,
                Scratch(split_product_scratch_bytes(s)).data());
}

/// Element (m, n) of the product, in double precision.
double exact(const MatrixProductShape& s, const std::vector<float>& a, const std::vector<float>& b,
             std::int64_t m, std::int64_t n) {
  const auto at = [](const std::vector<float>& matrix, const MatrixStrides& strides, std::int64_t i,
                     std::int64_t j) {
    return static_cast<double>(
        matrix[static_cast<std::size_t>(i * strides.row + j * strides.column)]);
  };
  double sum = 0;
  for (std::int64_t k = 0; k < s.k; ++k) sum += at(a, s.a, m, k) * at(b, s.b, k, n);
  return sum;
}

class MatrixProductTest : public testing::TestWithParam<Case> {};

void check_product(const MatrixProductShape& s, const Multiply multiply) {
  const std::vector<float> a = drawn(s.m, s.k, s.a, 1), b = drawn(s.k, s.n, s.b, 2);
  const std::vector<float> before = drawn(s.m, s.y_row, {s.y_row, 1}, 3);
  const std::vector<float> bias = drawn(1, s.n, {s.n, 1}, 4);
  std::vector<float> y = before;
  multiply(s, a, b, y, s.bias ? bias.data() : nullptr);

  for (std::int64_t m = 0; m < s.m; ++m)
    for (std::int64_t n = 0; n < s.y_row; ++n) {
      const auto i = static_cast<std::size_t>(m * s.y_row + n);
      if (n >= s.n) {
        ASSERT_EQ(y[i], before[i]) << m << ", " << n;
        continue;
      }
      double sum = exact(s, a, b, m, n);
      if (s.sum) sum += static_cast<double>(before[i]);
      if (s.bias) sum += static_cast<double>(bias[static_cast<std::size_t>(n)]);
      ASSERT_NEAR(static_cast<double>(y[i]), sum, 2e-5) << m << ", " << n;
    }
}

TEST_P(MatrixProductTest, IsTheProductAndWritesNothingElse) {
  check_product(GetParam().shape, multiply);
}

TEST_P(MatrixProductTest, IsSoOnTilesOfBf16) {
  if (!has_split_products()) GTEST_SKIP() << "this processor has no tiles";
  check_product(GetParam().shape, multiply_split);
}

// The first three are for sgemm: 1024 floats are a page, and a piece of b is 256 x 768. split_product()
// takes panels of 32 x 32, of at most 512 rows of a and 131072 elements at a time, and 1536 columns before the next terms.
INSTANTIATE_TEST_SUITE_P(
    Shapes, MatrixProductTest,
    testing::Values(
        Case{"pieces_of_rows_a_page_apart",
             {.m = 66, .n = 1000, .k = 300, .a = {300, 1}, .b = {1024, 1}, .y_row = 1010}},
        Case{"pieces_added_to_y",
             {.m = 66,
              .n = 1000,
              .k = 300,
              .a = {1, 70},
              .b = {1024, 1},
              .y_row = 1000,
              .sum = true}},
        Case{"other_rows",
             {.m = 130,
              .n = 260,
              .k = 520,
              .a = {530, 1},
              .b = {270, 1},
              .y_row = 260,
              .sum = true}},
        Case{"transposed_b",
             {.m = 33, .n = 70, .k = 129, .a = {129, 1}, .b = {1, 130}, .y_row = 80}},
        Case{"one_panel",
             {.m = 32, .n = 32, .k = 32, .a = {32, 1}, .b = {32, 1}, .y_row = 32, .bias = true}},
        Case{"blocks_of_rows_and_terms",
             {.m = 600,
              .n = 40,
              .k = 900,
              .a = {1, 601},
              .b = {1, 903},
              .y_row = 41,
              .sum = true,
              .bias = true}},
        Case{"blocks_of_terms_and_columns",
             {.m = 33,
              .n = 1570,
              .k = 2080,
              .a = {2080, 1},
              .b = {1570, 1},
              .y_row = 1571,
              .sum = true,
              .bias = true}},
        Case{"few_rows_of_many_terms",
             {.m = 33, .n = 33, .k = 4200, .a = {4200, 1}, .b = {35, 1}, .y_row = 33}},
        Case{"small", {.m = 3, .n = 5, .k = 7, .a = {7, 1}, .b = {5, 1}, .y_row = 5, .sum = true}}),
    [](const auto& info) { return std::string(info.param.name); });

/// Root of the mean square of y - the product in double precision.
double error_of(const MatrixProductShape& s, const std::vector<float>& a,
                const std::vector<float>& b, const std::vector<float>& y) {
  double squares = 0;
  for (std::int64_t m = 0; m < s.m; ++m)
    for (std::int64_t n = 0; n < s.n; ++n) {
      const double error =
          static_cast<double>(y[static_cast<std::size_t>(m * s.n + n)]) - exact(s, a, b, m, n);
      squares += error * error;
    }
  return std::sqrt(squares / static_cast<double>(s.m * s.n));
}

// However a product is formed (three bf16 a factor on tiles), it is one of f32: as exact as the sum of rounded f32 products, term by term.
TEST(MatrixProduct, IsAsExactAsF32) {
  const MatrixProductShape s{
      .m = 128, .n = 128, .k = 768, .a = {768, 1}, .b = {128, 1}, .y_row = 128};
  std::vector<float> a = drawn(s.m, s.k, s.a, 1), b = drawn(s.k, s.n, s.b, 2);
  // Factors of very different size, whose sums hold no more than the largest products' bits.
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = std::ldexp(a[i], static_cast<int>(i % 40) - 20);
  std::vector<float> y(static_cast<std::size_t>(s.m * s.n)), plain(y.size());
  multiply(s, a, b, y, nullptr);
  for (std::int64_t m = 0; m < s.m; ++m)
    for (std::int64_t k = 0; k < s.k; ++k)
      for (std::int64_t n = 0; n < s.n; ++n)
        plain[static_cast<std::size_t>(m * s.n + n)] +=
            a[static_cast<std::size_t>(m * s.k + k)] * b[static_cast<std::size_t>(k * s.n + n)];
  EXPECT_LE(error_of(s, a, b, y), error_of(s, a, b, plain));
}

// A thread has one configuration of tiles, which oneDNN's bf16 products and ours set up for themselves.
TEST(MatrixProduct, TilesAreNotLeftToOthers) {
  const MatrixProductShape f32{
      .m = 128, .n = 128, .k = 128, .a = {128, 1}, .b = {128, 1}, .y_row = 128};
  MatrixProductShape bf16 = f32;
  bf16.factors = DType::bf16;
  const std::vector<float> a = drawn(128, 128, f32.a, 1), b = drawn(128, 128, f32.b, 2);
  const std::vector<bfloat16> narrow_a(a.begin(), a.end()), narrow_b(b.begin(), b.end());
  const MatrixProduct product(bf16);
  Scratch scratch(product.scratch_bytes());
  std::vector<float> first(a.size()), second(a.size()), between(a.size());
  product(narrow_a.data(), narrow_b.data(), first.data(), scratch.data());
  multiply(f32, a, b, between, nullptr);
  product(narrow_a.data(), narrow_b.data(), second.data(), scratch.data());
  EXPECT_EQ(first, second);
  for (std::size_t i = 0; i < first.size(); ++i) ASSERT_NEAR(first[i], between[i], 0.05) << i;
}

}  // namespace
}  // namespace hpdlf::codelets
