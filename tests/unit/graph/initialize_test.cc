#include "graph/initialize.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace hpdlf::graph {
namespace {

Value parameter(const std::string& name, Initializer init) {
  return {.name = name, .type = {DType::f32, {6, 5, 4}}, .role = Role::parameter, .init = init};
}

std::vector<float> filled(const Value& value, std::uint64_t seed, const Box& region) {
  std::vector<float> data(static_cast<std::size_t>(region.elements()));
  fill_initial(value, seed, region, data.data());
  return data;
}

const Initializer kUniform{.kind = Initializer::Kind::uniform, .a = -0.5, .b = 1.5};

TEST(FillInitial, RegionHoldsTheNumbersOfTheWhole) {
  const Value value = parameter("w", kUniform);
  const std::vector<float> whole = filled(value, 3, Box::whole(value.type.extents));

  const std::vector<float> region = filled(value, 3, {{2, 1, 0}, {4, 4, 3}});

  std::size_t at = 0;
  for (std::size_t i = 2; i < 4; ++i)
    for (std::size_t j = 1; j < 4; ++j)
      for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(region[at++], whole[(i * 5 + j) * 4 + k]);
}

TEST(FillInitial, DependsOnSeedAndName) {
  const Box whole = Box::whole({6, 5, 4});

  EXPECT_EQ(filled(parameter("w", kUniform), 3, whole), filled(parameter("w", kUniform), 3, whole));
  EXPECT_NE(filled(parameter("w", kUniform), 3, whole), filled(parameter("w", kUniform), 4, whole));
  EXPECT_NE(filled(parameter("w", kUniform), 3, whole), filled(parameter("v", kUniform), 3, whole));
}

TEST(FillInitial, UniformStaysInItsRange) {
  const std::vector<float> data = filled(parameter("w", kUniform), 3, Box::whole({6, 5, 4}));

  EXPECT_GE(*std::min_element(data.begin(), data.end()), -0.5F);
  EXPECT_LT(*std::max_element(data.begin(), data.end()), 1.5F);
  EXPECT_GT(*std::max_element(data.begin(), data.end()), 1.0F)
      << "the upper quarter is never drawn";
}

TEST(FillInitial, ConstantAndNoneNeedNoRandomNumbers) {
  const Box whole = Box::whole({6, 5, 4});

  EXPECT_EQ(filled(parameter("w", {.kind = Initializer::Kind::constant, .a = 2.5}), 3, whole),
            std::vector<float>(120, 2.5F));
  EXPECT_EQ(filled(parameter("w", {}), 3, whole), std::vector<float>(120, 0.0F));
}

TEST(FillInitial, OfAScalarIsOneNumber) {
  const Value scalar{.name = "s",
                     .type = {DType::bf16, {}},
                     .role = Role::parameter,
                     .init = {.kind = Initializer::Kind::constant, .a = 1.5}};
  bfloat16 number(0.0F);

  fill_initial(scalar, 3, Box::whole({}), &number);

  EXPECT_EQ(static_cast<float>(number), 1.5F);
}

}  // namespace
}  // namespace hpdlf::graph
