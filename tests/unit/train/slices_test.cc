// Slices show the right voxels the right way up, where every class shows best.
#include "train/slices.hpp"

#include <gtest/gtest.h>
#include <limits>

#include "base/error.hpp"

namespace hpdlf::train {
namespace {

struct TestVolume {
  std::array<std::int64_t, 3> extents;
  std::vector<float> image;
  std::vector<std::uint8_t> labels;
  explicit TestVolume(std::array<std::int64_t, 3> e)
      : extents(e), image(static_cast<std::size_t>(e[0] * e[1] * e[2])), labels(image.size()) {}
  [[nodiscard]] std::size_t at(std::int64_t i, std::int64_t j, std::int64_t k) const {
    return static_cast<std::size_t>((i * extents[1] + j) * extents[2] + k);
  }
  [[nodiscard]] SliceVolume view() const {
    return {.extents = extents, .image = image, .truth = labels, .prediction = {}};
  }
};

TEST(Slices, ShowRightFrontAndUpWhereAReaderExpectsThem) {
  TestVolume volume({4, 6, 8});
  volume.image[volume.at(3, 5, 7)] = 1;  // the corner far right, far front, far up
  volume.labels[volume.at(3, 5, 7)] = 2;

  const auto slices = render_slices(volume.view(), 80);

  ASSERT_EQ(slices.size(), 3U);
  EXPECT_EQ(slices[0].plane, "axial");
  EXPECT_EQ(slices[0].index, 7);
  EXPECT_EQ(slices[1].plane, "coronal");
  EXPECT_EQ(slices[1].index, 5);
  EXPECT_EQ(slices[2].plane, "sagittal");
  EXPECT_EQ(slices[2].index, 3);
  for (const SlicePictures& slice : slices) {
    const Rgb top_right = slice.truth.at(slice.truth.width - 1, 0);
    EXPECT_EQ(slice.image.at(slice.truth.width - 1, 0), (Rgb{255, 255, 255})) << slice.plane;
    EXPECT_LT(top_right.r, 255) << slice.plane;  // tinted by the class
    EXPECT_EQ(slice.truth.at(0, slice.truth.height - 1), (Rgb{0, 0, 0})) << slice.plane;
    EXPECT_TRUE(slice.prediction.pixels.empty());
  }
}

TEST(Slices, WeighSmallClassesAsMuchAsLargeOnes) {
  TestVolume volume({10, 10, 10});
  for (std::int64_t k = 0; k < 5;
       ++k)  // class 1 fills the lower half, a little more of it at k = 0
    for (std::int64_t i = 0; i < 10; ++i)
      for (std::int64_t j = 0; j < (k == 0 ? 10 : 8); ++j) volume.labels[volume.at(i, j, k)] = 1;
  volume.labels[volume.at(4, 4, 7)] = 2;

  EXPECT_EQ(render_slices(volume.view(), 20)[0].index, 7);
}

TEST(Slices, UndoTheSpacingAndFitTheLongestSide) {
  TestVolume volume({10, 20, 5});
  SliceVolume view = volume.view();
  view.spacing_mm = {2, 1, 8};

  const auto slices = render_slices(view, 100);

  EXPECT_EQ(slices[0].image.width, 100);  // 20 mm x 20 mm
  EXPECT_EQ(slices[0].image.height, 100);
  EXPECT_EQ(slices[1].image.width, 50);  // 20 mm x 40 mm
  EXPECT_EQ(slices[1].image.height, 100);
}

TEST(Slices, DrawClassesOverTheScanWithAnOutline) {
  TestVolume volume({8, 8, 8});
  for (std::int64_t i = 2; i < 6; ++i)
    for (std::int64_t j = 2; j < 6; ++j) volume.labels[volume.at(i, j, 4)] = 1;

  const auto slice = render_slices(volume.view(), 80)[0];

  EXPECT_EQ(slice.image.at(40, 40), (Rgb{0, 0, 0}));
  EXPECT_EQ(slice.truth.at(20, 40), class_color(1));  // first pixel of the class: outline
  const Rgb inside = slice.truth.at(40, 40);
  EXPECT_GT(inside.r, 0);
  EXPECT_LT(inside.r, class_color(1).r);
  EXPECT_EQ(slice.truth.at(5, 5), (Rgb{0, 0, 0}));
}

TEST(Slices, TakeTheMiddleWithoutLabelsAndStandNonFiniteVoxels) {
  TestVolume volume({6, 8, 10});
  volume.image[0] = std::numeric_limits<float>::quiet_NaN();
  SliceVolume view = volume.view();
  view.truth = {};

  const auto slices = render_slices(view, 20);

  EXPECT_EQ(slices[0].index, 5);
  EXPECT_EQ(slices[1].index, 4);
  EXPECT_EQ(slices[2].index, 3);
}

TEST(Slices, RefuseLabelsOfAnotherSize) {
  TestVolume volume({2, 2, 2});
  volume.labels.pop_back();

  EXPECT_THROW((void)render_slices(volume.view()), InternalError);
}

TEST(ClassColor, DiffersBetweenNeighbouringClasses) {
  for (int a = 1; a <= 8; ++a)
    for (int b = a + 1; b <= 8; ++b)
      EXPECT_FALSE(class_color(a) == class_color(b)) << a << " " << b;
}

}  // namespace
}  // namespace hpdlf::train
