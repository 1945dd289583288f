#include <gtest/gtest.h>

#include "apps/unet3d/network.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::apps {
namespace {

std::int64_t parameters_of(const UNet3dOptions& options) {
  graph::Graph g;
  graph::Builder b(g);
  const auto x = g.add_input("x", {DType::f32, {1, 32, 32, 32, 1}});
  const auto logits = unet3d(b, x, options);
  EXPECT_EQ(b.type(logits).extents, (Extents{1, 32, 32, 32, options.classes}));
  return g.parameter_count();
}

TEST(UNet3d, HasTheParametersOfTheDefaultApp) { EXPECT_EQ(parameters_of({}), 1401333); }

TEST(UNet3d, HasTheParametersOfTheMlperfNet) {
  EXPECT_EQ(parameters_of({.classes = 3, .filters = {32, 64, 128, 256, 320, 320}}), 31190243);
}

TEST(UNet3d, RejectsExtentsThatDoNotHalve) {
  graph::Graph g;
  graph::Builder b(g);
  const auto x = g.add_input("x", {DType::f32, {1, 45, 108, 90, 1}});

  EXPECT_THROW(
      {
        try {
          (void)unet3d(b, x, {});
        } catch (const Error& e) {
          EXPECT_NE(e.message().find("extent 45"), std::string::npos) << e.what();
          EXPECT_NE(e.message().find("nearest: 48"), std::string::npos) << e.what();
          throw;
        }
      },
      Error);
}

}  // namespace
}  // namespace hpdlf::apps
