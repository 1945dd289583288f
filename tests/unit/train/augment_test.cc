#include "train/augment.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "support/safetensors.hpp"

namespace hpdlf::train {
namespace {

Volume random_image(const Extents& extents) {
  Volume image{extents, {}, {}};
  for (std::int64_t i = 0; i < extents.elements(); ++i)
    image.voxels.push_back(static_cast<float>(std::sin(static_cast<double>(i * i % 1009))));
  return image;
}

LabelVolume random_labels(const Extents& extents) {
  LabelVolume labels{extents, {}, {}};
  for (std::int64_t i = 0; i < extents.elements(); ++i)
    labels.voxels.push_back(static_cast<std::uint8_t>(i * 7 % 5));
  return labels;
}

std::array<double, 3> triple(const test::FixtureTensor& tensor) {
  const auto v = tensor.as<double>();
  return {v[0], v[1], v[2]};
}

TEST(Resample, EqualsScipysAffineTransform) {
  const test::Fixture fixture = test::load_fixture("volume_recipe.safetensors");
  const auto tensor = [&](const std::string& name) -> const test::FixtureTensor& {
    return fixture.tensors.at("augment." + name);
  };
  Extents extents = tensor("image").type.extents;
  LabelVolume labels{extents, {}, tensor("labels").as<std::uint8_t>()};
  extents.push_back(1);
  Volume image{extents, {}, tensor("image").as<float>()};

  resample(image, labels,
           transform_about_centre(extents, triple(tensor("angles")), triple(tensor("scales")),
                                  triple(tensor("shift"))));

  const auto expected = tensor("moved_image").as<float>();
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(image.voxels[i], expected[i], 2e-5) << i;
  EXPECT_EQ(labels.voxels, tensor("moved_labels").as<std::uint8_t>());
}

TEST(Resample, KeepsEverythingUnderTheIdentity) {
  const Volume before = random_image({5, 7, 19, 3});
  const LabelVolume labels_before = random_labels({5, 7, 19});
  Volume image = before;
  LabelVolume labels = labels_before;

  resample(image, labels, {});

  EXPECT_EQ(image.voxels, before.voxels);
  EXPECT_EQ(labels.voxels, labels_before.voxels);
}

TEST(Resample, TreatsChannelsAlike) {
  const SpatialTransform t =
      transform_about_centre({9, 8, 21, 2}, {0.3, 0.1, -0.2}, {1.1, 0.95, 1}, {0.5, -1, 2});
  const Volume single = random_image({9, 8, 21, 1});
  Volume twice{{9, 8, 21, 2}, {}, {}};
  for (const float v : single.voxels) twice.voxels.insert(twice.voxels.end(), {v, -2 * v});
  Volume moved = single;
  LabelVolume labels = random_labels({9, 8, 21});
  LabelVolume same_labels = labels;

  resample(moved, labels, t);
  resample(twice, same_labels, t);

  EXPECT_EQ(labels.voxels, same_labels.voxels);
  for (std::size_t i = 0; i < moved.voxels.size(); ++i) {
    ASSERT_EQ(twice.voxels[2 * i], moved.voxels[i]);
    ASSERT_EQ(twice.voxels[2 * i + 1], -2 * moved.voxels[i]);
  }
}

TEST(ChangeIntensity, AddsNormalNoise) {
  Volume image{{40, 50, 51, 1}, {}, std::vector<float>(40 * 50 * 51, 2.0F)};

  change_intensity(image, 0.5, 3, 0.25, 99);

  const auto n = static_cast<double>(image.voxels.size());
  double sum = 0, squares = 0, fourth = 0, neighbours = 0;
  for (std::size_t i = 0; i < image.voxels.size(); ++i) {
    const double d = (static_cast<double>(image.voxels[i]) - 4) / 0.25;
    sum += d;
    squares += d * d;
    fourth += d * d * d * d;
    if (i > 0) neighbours += d * (static_cast<double>(image.voxels[i - 1]) - 4) / 0.25;
  }
  const double standard_error = 1 / std::sqrt(n);
  EXPECT_NEAR(sum / n, 0, 4 * standard_error);
  EXPECT_NEAR(squares / n, 1, 4 * std::sqrt(2.0) * standard_error);
  EXPECT_NEAR(fourth / n, 3, 4 * std::sqrt(96.0) * standard_error);
  EXPECT_NEAR(neighbours / n, 0, 4 * standard_error);
}

TEST(ChangeIntensity, DrawsByVoxelOnly) {
  Volume shorter{{1, 1, 1001, 1}, {}, std::vector<float>(1001)};
  Volume longer{{1, 1, 5000, 1}, {}, std::vector<float>(5000)};

  change_intensity(shorter, 1, 0, 1, 7);
  change_intensity(longer, 1, 0, 1, 7);

  EXPECT_TRUE(
      std::equal(shorter.voxels.begin(), shorter.voxels.begin() + 1000, longer.voxels.begin()));
}

TEST(Augment, DependsOnKeyAndIndexOnly) {
  const auto run = [](std::uint64_t key, std::uint64_t index) {
    Volume image = random_image({12, 10, 17, 1});
    LabelVolume labels = random_labels({12, 10, 17});
    augment(image, labels, {}, key, index);
    return image.voxels;
  };

  EXPECT_EQ(run(1, 2), run(1, 2));
  EXPECT_NE(run(1, 2), run(1, 3));
  EXPECT_NE(run(1, 2), run(2, 2));
}

TEST(Augment, LeavesASampleAloneWhenOff) {
  const Volume before = random_image({4, 4, 4, 1});
  Volume image = before;
  LabelVolume labels = random_labels({4, 4, 4});

  augment(image, labels,
          {.rotation = 0,
           .scale = 0,
           .shift = 0,
           .intensity_scale = 0,
           .intensity_offset = 0,
           .noise = 0},
          1, 2);

  EXPECT_EQ(image.voxels, before.voxels);
}

TEST(Augment, DrawsShiftsOfTheGivenDeviation) {
  // A ramp along x moves by exactly the shift along x in its middle.
  double sum = 0, squares = 0;
  constexpr int kDraws = 400;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    Volume image{{64, 2, 2, 1}, {}, {}};
    LabelVolume labels{{64, 2, 2}, {}, std::vector<std::uint8_t>(256)};
    for (int v = 0; v < 256; ++v) image.voxels.push_back(static_cast<float>(v / 4));
    augment(image, labels,
            {.rotation = 0,
             .scale = 0,
             .shift = 2,
             .intensity_scale = 0,
             .intensity_offset = 0,
             .noise = 0},
            5, i);
    const double shift = static_cast<double>(image.voxels[32 * 4]) - 32;
    sum += shift;
    squares += shift * shift;
  }

  EXPECT_NEAR(sum / kDraws, 0, 4 * 2 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 4, 4 * 4 * std::sqrt(2.0 / kDraws));
}

}  // namespace
}  // namespace hpdlf::train
