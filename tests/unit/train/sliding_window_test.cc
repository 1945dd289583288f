#include "train/sliding_window.hpp"

#include <gtest/gtest.h>
#include <set>

namespace hpdlf::train {
namespace {

TEST(WindowPositions, CoverTheVolumeWithTheOverlap) {
  const Extents volume{100, 64, 70}, window{64, 64, 32};

  const auto positions = window_positions(volume, window, 0.5);

  std::set<std::int64_t> starts[3];
  for (const auto& p : positions)
    for (int i = 0; i < 3; ++i) starts[i].insert(p[i]);
  EXPECT_EQ(positions.size(), starts[0].size() * starts[1].size() * starts[2].size());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(*starts[i].begin(), 0);
    EXPECT_EQ(*starts[i].rbegin(), volume[i] - window[i]);
    for (auto next = std::next(starts[i].begin()); next != starts[i].end(); ++next)
      EXPECT_LE(*next - *std::prev(next), window[i] / 2);
  }
}

TEST(WindowPositions, AreOneForAVolumeOfTheWindowsSize) {
  EXPECT_EQ(window_positions({8, 8, 8}, {8, 8, 8}, 0.5), (std::vector<Extents>{{0, 0, 0}}));
}

TEST(WindowPositions, RefuseAWindowLargerThanTheVolumeAndAnOverlapOfOne) {
  EXPECT_THROW(static_cast<void>(window_positions({8, 8, 8}, {8, 9, 8}, 0.5)), Error);
  EXPECT_THROW(static_cast<void>(window_positions({8, 8, 8}, {4, 4, 4}, 1)), Error);
}

/// Says class 1 with certainty where the image is > 0.5, else class 0.
std::vector<float> threshold(std::span<const float> window) {
  std::vector<float> p;
  for (const float v : window) p.insert(p.end(), {v > 0.5F ? 0.0F : 1.0F, v > 0.5F ? 1.0F : 0.0F});
  return p;
}

TEST(Segment, GivesEveryVoxelTheClassThatItsWindowsGive) {
  Volume image{{11, 7, 13, 1}, {2, 0, 0, 5, 0, 2, 0, 6, 0, 0, 2, 7, 0, 0, 0, 1}, {}};
  for (int i = 0; i < 11 * 7 * 13; ++i) image.voxels.push_back(i % 3 == 0 ? 1.0F : 0.0F);

  const LabelVolume labels = segment(image, {4, 4, 6}, 2, 0.5, threshold);

  EXPECT_EQ(labels.extents, (Extents{11, 7, 13}));
  EXPECT_EQ(labels.affine, image.affine);
  for (std::size_t i = 0; i < labels.voxels.size(); ++i)
    ASSERT_EQ(labels.voxels[i], i % 3 == 0 ? 1 : 0) << i;
}

TEST(Segment, PadsAVolumeSmallerThanTheWindow) {
  Volume image{{3, 4, 2, 1}, {}, std::vector<float>(24, 1.0F)};
  image.voxels[5] = 0;

  const LabelVolume labels = segment(image, {8, 8, 8}, 2, 0.5, threshold);

  EXPECT_EQ(labels.extents, (Extents{3, 4, 2}));
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(labels.voxels[i], i == 5 ? 0 : 1);
}

TEST(Segment, TrustsTheMiddleOfAWindowMoreThanItsBorder) {
  // Along z each window votes for its own number parity; where two overlap the nearer centre wins.
  int windows = 0;
  const auto vote = [&](std::span<const float> window) {
    const bool odd = windows++ % 2 == 1;
    std::vector<float> p;
    for (std::size_t i = 0; i < window.size(); ++i)
      p.insert(p.end(), {odd ? 0.0F : 1.0F, odd ? 1.0F : 0.0F});
    return p;
  };
  const Volume image{{1, 1, 12, 1}, {}, std::vector<float>(12)};

  const LabelVolume labels = segment(image, {1, 1, 8}, 2, 0.5, vote);

  EXPECT_EQ(windows, 2);  // at 0 and 4: centres 3.5 and 7.5
  EXPECT_EQ(labels.voxels, (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
}

TEST(Segment, HandsOverAllChannels) {
  const Volume image{{4, 4, 4, 3}, {}, std::vector<float>(192)};

  const LabelVolume labels = segment(image, {4, 4, 4}, 2, 0.5, [](std::span<const float> window) {
    EXPECT_EQ(window.size(), 192U);
    return std::vector<float>(128, 0.5F);
  });

  EXPECT_EQ(labels.voxels.size(), 64U);
}

}  // namespace
}  // namespace hpdlf::train
