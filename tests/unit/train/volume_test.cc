#include "train/volume.hpp"

#include <cmath>
#include <gtest/gtest.h>

namespace hpdlf::train {
namespace {

/// Voxel (x, y, z), channel c holds 1000 x + 100 y + 10 z + c.
Volume numbered(const Extents& extents) {
  Volume v{extents, {2, 0, 0, -10, 0, 3, 0, -20, 0, 0, 4, -30, 0, 0, 0, 1}, {}};
  for (std::int64_t x = 0; x < extents[0]; ++x)
    for (std::int64_t y = 0; y < extents[1]; ++y)
      for (std::int64_t z = 0; z < extents[2]; ++z)
        for (std::int64_t c = 0; c < extents[3]; ++c)
          v.voxels.push_back(static_cast<float>(1000 * x + 100 * y + 10 * z + c));
  return v;
}

LabelVolume numbered_labels(const Extents& extents) {
  LabelVolume v{extents, {2, 0, 0, -10, 0, 3, 0, -20, 0, 0, 4, -30, 0, 0, 0, 1}, {}};
  for (std::int64_t i = 0; i < extents.elements(); ++i)
    v.voxels.push_back(static_cast<std::uint8_t>(i % 251));
  return v;
}

std::array<double, 3> place(const Affine& a, double x, double y, double z) {
  return {a[0] * x + a[1] * y + a[2] * z + a[3], a[4] * x + a[5] * y + a[6] * z + a[7],
          a[8] * x + a[9] * y + a[10] * z + a[11]};
}

TEST(Spacing, IsTheLengthOfTheColumns) {
  EXPECT_EQ(spacing({0, 2, 0, 0, 3, 0, 0, 0, 0, 0, -4, 0, 0, 0, 0, 1}),
            (std::array<double, 3>{3, 2, 4}));
}

TEST(Downsample, TakesBlockMeansAndDropsTheRest) {
  const Volume half = downsample(numbered({5, 4, 3, 2}), 2);

  EXPECT_EQ(half.extents, (Extents{2, 2, 1, 2}));
  EXPECT_EQ(half.voxels[0], 555.0F);  // mean of 0 and 1000, of 0 and 100, of 0 and 10
  EXPECT_EQ(half.voxels[1], 556.0F);
  EXPECT_EQ(half.voxels[6], 2755.0F);
}

TEST(Downsample, TakesTheFirstLabelOfABlock) {
  const LabelVolume labels = numbered_labels({5, 4, 3});

  const LabelVolume half = downsample(labels, 2);

  EXPECT_EQ(half.extents, (Extents{2, 2, 1}));
  EXPECT_EQ(half.voxels, (std::vector<std::uint8_t>{0, 6, 24, 30}));
}

TEST(Downsample, PutsTheNewVoxelInTheMiddleOfItsBlock) {
  const Volume whole = numbered({6, 6, 6, 1});

  const Volume third = downsample(whole, 3);

  EXPECT_EQ(place(third.affine, 1, 0, 1), place(whole.affine, 4, 1, 4));
  EXPECT_EQ(downsample(numbered_labels({6, 6, 6}), 3).affine, third.affine);
}

TEST(Downsample, RefusesAVolumeSmallerThanABlock) {
  EXPECT_THROW(static_cast<void>(downsample(numbered({4, 4, 1, 1}), 2)), Error);
}

TEST(NormaliseZScore, GivesEachChannelMeanZeroAndDeviationOne) {
  Volume v = numbered({5, 4, 3, 3});
  for (std::size_t i = 2; i < v.voxels.size(); i += 3) v.voxels[i] = 7;  // a constant channel

  normalise_z_score(v);

  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = c; i < v.voxels.size(); i += 3) {
      sum += static_cast<double>(v.voxels[i]);
      squares += static_cast<double>(v.voxels[i]) * static_cast<double>(v.voxels[i]);
    }
    EXPECT_NEAR(sum / 60, 0, 1e-6);
    EXPECT_NEAR(squares / 60, c == 2 ? 0 : 1, 1e-6);
  }
}

TEST(PadTo, FillsWithTheMinimumOfTheChannel) {
  Volume v = numbered({3, 2, 2, 2});
  v.voxels[4] = -5;

  const Volume padded = pad_to(v, 4, {1, 1, 5});

  EXPECT_EQ(padded.extents, (Extents{4, 4, 8, 2}));
  EXPECT_EQ(padded.affine, v.affine);
  const auto at = [&](std::int64_t x, std::int64_t y, std::int64_t z, std::int64_t c) {
    return padded.voxels[static_cast<std::size_t>(((x * 4 + y) * 8 + z) * 2 + c)];
  };
  EXPECT_EQ(at(2, 1, 1, 1), 2111.0F);
  EXPECT_EQ(at(3, 0, 0, 0), -5.0F);
  EXPECT_EQ(at(0, 0, 7, 1), 1.0F);
}

TEST(PadTo, FillsLabelsWithTheBackground) {
  LabelVolume labels{{1, 1, 2}, {}, {3, 4}};

  EXPECT_EQ(pad_to(labels, 2).voxels, (std::vector<std::uint8_t>{3, 4, 0, 0, 0, 0, 0, 0}));
}

TEST(Crop, KeepsVoxelsWhereTheyAre) {
  const Volume v = numbered({5, 4, 3, 2});

  const Volume part = crop(v, {{1, 2, 1}, {4, 4, 3}});

  EXPECT_EQ(part.extents, (Extents{3, 2, 2, 2}));
  EXPECT_EQ(part.voxels.front(), 1210.0F);
  EXPECT_EQ(part.voxels.back(), 3321.0F);
  EXPECT_EQ(place(part.affine, 0, 0, 0), place(v.affine, 1, 2, 1));
}

TEST(MirrorX, ReversesTheFirstAxis) {
  const Volume v = numbered({5, 4, 3, 2});

  const Volume mirrored = mirror_x(v);

  EXPECT_EQ(mirrored.voxels[0], 4000.0F);
  EXPECT_EQ(place(mirrored.affine, 0, 1, 2), place(v.affine, 4, 1, 2));
  EXPECT_EQ(mirror_x(mirrored).voxels, v.voxels);
  EXPECT_EQ(mirror_x(mirror_x(numbered_labels({5, 4, 3}))).voxels,
            numbered_labels({5, 4, 3}).voxels);
}

}  // namespace
}  // namespace hpdlf::train
