#include "codelets/cpu/matrix_product.hpp"

#include <gtest/gtest.h>
#include <vector>

#include "base/philox.hpp"

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

class MatrixProductTest : public testing::TestWithParam<Case> {};

TEST_P(MatrixProductTest, IsTheProductAndWritesNothingElse) {
  const MatrixProductShape& s = GetParam().shape;
  const std::vector<float> a = drawn(s.m, s.k, s.a, 1), b = drawn(s.k, s.n, s.b, 2);
  const std::vector<float> before = drawn(s.m, s.y_row, {s.y_row, 1}, 3);
  std::vector<float> y = before;
  const MatrixProduct product(s);
  std::vector<std::byte> scratch(static_cast<std::size_t>(product.scratch_bytes()) + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
  product(a.data(), b.data(), y.data(), scratch.data() + (64 - address % 64));

  const auto at = [](std::int64_t i, std::int64_t j, const MatrixStrides& strides) {
    return static_cast<std::size_t>(i * strides.row + j * strides.column);
  };
  for (std::int64_t m = 0; m < s.m; ++m)
    for (std::int64_t n = 0; n < s.y_row; ++n) {
      const std::size_t i = at(m, n, {s.y_row, 1});
      if (n >= s.n) {
        ASSERT_EQ(y[i], before[i]) << m << ", " << n;
        continue;
      }
      double sum = s.sum ? static_cast<double>(before[i]) : 0;
      for (std::int64_t k = 0; k < s.k; ++k)
        sum += static_cast<double>(a[at(m, k, s.a)]) * static_cast<double>(b[at(k, n, s.b)]);
      ASSERT_NEAR(static_cast<double>(y[i]), sum, 2e-5) << m << ", " << n;
    }
}

// The first three are for sgemm: 1024 floats are a page, and a piece of b is 256 x 768.
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
        Case{"small", {.m = 3, .n = 5, .k = 7, .a = {7, 1}, .b = {5, 1}, .y_row = 5, .sum = true}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace hpdlf::codelets
