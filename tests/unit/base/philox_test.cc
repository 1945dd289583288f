#include "base/philox.hpp"

#include <gtest/gtest.h>

namespace hpdlf {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Known answers of the authors' library Random123 1.14.0 (tests/kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(Philox(0)(0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~0ULL)(~0ULL, ~0ULL), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox(0x299f31d0a4093822ULL)(0x85a308d3243f6a88ULL, 0x0370734413198a2eULL),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformLiesInTheUnitIntervalWithMeanOneHalf) {
  const Philox random(5);
  constexpr int kDraws = 20000;

  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const float u = random.uniform(static_cast<std::uint64_t>(i));
    ASSERT_GE(u, 0.0F);
    ASSERT_LT(u, 1.0F);
    sum += u;
  }

  EXPECT_NEAR(sum / kDraws, 0.5, 4 * 0.2887 / std::sqrt(kDraws));  // four standard errors
}

TEST(Philox, NormalHasMeanZeroAndVarianceOne) {
  const Philox random(5);
  constexpr int kDraws = 20000;

  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal(static_cast<std::uint64_t>(i));
    sum += x;
    squares += x * x;
  }

  EXPECT_NEAR(sum / kDraws, 0, 4 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 4 * std::sqrt(2.0 / kDraws));
}

TEST(Philox, StreamsDiffer) {
  const Philox random(5);

  EXPECT_NE(random(7, 0), random(7, 1));
}

}  // namespace
}  // namespace hpdlf
