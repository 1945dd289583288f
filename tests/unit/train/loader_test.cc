#include "train/loader.hpp"

#include <algorithm>
#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <set>

namespace hpdlf::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Case `k`: every voxel's value is unique over cases; labels 1 in one corner, 2 in one voxel, else 0.
VolumeCase make_case(int k, const Extents& space) {
  VolumeCase c{
      "case" + std::to_string(k), {{space[0], space[1], space[2], 1}, {}, {}}, {space, {}, {}}};
  for (std::int64_t i = 0; i < space.elements(); ++i) {
    c.image.voxels.push_back(static_cast<float>(100000 * k + i));
    c.labels.voxels.push_back(i < 20 ? 1 : 0);
  }
  c.labels.voxels[static_cast<std::size_t>(space.elements() - 1)] = 2;
  return c;
}

constexpr AugmentOptions kNoAugmentation{
    .rotation = 0, .scale = 0, .shift = 0, .intensity_scale = 0, .intensity_offset = 0, .noise = 0};

LoaderOptions whole_options() {
  return {.batch = 2, .patch = {8, 8, 8}, .whole_volumes = true, .augment = {}, .seed = 5};
}
LoaderOptions patch_options() {
  return {.batch = 2,
          .patch = {4, 4, 4},
          .whole_volumes = false,
          .augment = kNoAugmentation,
          .seed = 5};
}

std::vector<VolumeCase> cases(int n) {
  std::vector<VolumeCase> list;
  for (int k = 0; k < n; ++k) list.push_back(make_case(k, {7, 8, 6}));
  return list;
}

std::vector<float> image_of(const Batch& batch) {
  const auto data = batch.image->as<float>();
  return {data.begin(), data.end()};
}
std::vector<std::uint8_t> labels_of(const Batch& batch) {
  const auto data = batch.labels->as<std::uint8_t>();
  return {data.begin(), data.end()};
}

class LoaderModes : public testing::TestWithParam<bool> {
 protected:
  static LoaderOptions options() {
    LoaderOptions o = GetParam() ? whole_options() : patch_options();
    o.augment = {};
    return o;
  }
};

TEST_P(LoaderModes, GiveTheSameBatchesWithAnyNumberOfThreads) {
  const auto list = cases(3);
  LoaderOptions one = options(), four = options();
  four.threads = 4;
  four.prefetch = 7;
  Loader a(list, one), b(list, four);

  for (int i = 0; i < 12; ++i) {
    const Batch x = a.next(), y = b.next();
    EXPECT_EQ(x.index, i);
    EXPECT_EQ(y.index, i);
    ASSERT_EQ(image_of(x), image_of(y)) << "batch " << i;
    ASSERT_EQ(labels_of(x), labels_of(y)) << "batch " << i;
  }
}

TEST_P(LoaderModes, ContinueFromAnyPosition) {
  const auto list = cases(3);
  std::vector<std::vector<float>> images;
  {
    Loader loader(list, options());
    for (int i = 0; i < 6; ++i) images.push_back(image_of(loader.next()));
  }

  Loader resumed(list, options(), 4);

  EXPECT_EQ(image_of(resumed.next()), images[4]);
  EXPECT_EQ(image_of(resumed.next()), images[5]);
}

TEST_P(LoaderModes, GiveOtherBatchesWithAnotherSeed) {
  const auto list = cases(1);
  LoaderOptions other = options();
  other.seed = 6;

  EXPECT_NE(image_of(Loader(list, options()).next()), image_of(Loader(list, other).next()));
}

INSTANTIATE_TEST_SUITE_P(All, LoaderModes, testing::Values(true, false),
                         [](const auto& info) { return info.param ? "WholeVolumes" : "Patches"; });

TEST(LoaderWhole, PadsACaseAtTheHighEnds) {
  const auto list = cases(1);
  LoaderOptions options = whole_options();
  options.augment = kNoAugmentation;
  options.batch = 1;

  const Batch batch = Loader(list, options).next();

  EXPECT_EQ(batch.image->type.extents, (Extents{1, 8, 8, 8, 1}));
  EXPECT_EQ(batch.labels->type.extents, (Extents{1, 8, 8, 8}));
  const auto image = batch.image->as<float>();
  EXPECT_EQ(image[0], 0.0F);
  EXPECT_EQ(image[(1 * 8 + 2) * 8 + 3], static_cast<float>((1 * 8 + 2) * 6 + 3));
  EXPECT_EQ(image[7], 0.0F);  // padding: the minimum
  EXPECT_EQ(batch.labels->as<std::uint8_t>()[6 * 64 + 7 * 8 + 5], 2);
}

TEST(LoaderWhole, TakesEveryCaseOnceAnEpochInAnOrderOfItsOwn) {
  const auto list = cases(5);
  LoaderOptions options = whole_options();
  options.augment = kNoAugmentation;
  options.batch = 1;
  Loader loader(list, options);

  std::set<std::vector<int>> orders;
  for (int epoch = 0; epoch < 6; ++epoch) {
    std::vector<int> order;
    for (int i = 0; i < 5; ++i)
      order.push_back(static_cast<int>(loader.next().image->as<float>()[0]) / 100000);
    orders.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
  }
  EXPECT_GT(orders.size(), 3U);
}

TEST(LoaderPatches, AreCutFromTheVolumeWithItsLabels) {
  const auto list = cases(2);
  Loader loader(list, patch_options());

  for (int i = 0; i < 20; ++i) {
    const Batch batch = loader.next();
    const auto image = batch.image->as<float>();
    const auto labels = batch.labels->as<std::uint8_t>();
    for (std::size_t s = 0; s < 2; ++s) {
      const auto first = static_cast<std::int64_t>(image[s * 64]);
      const auto& c = list[static_cast<std::size_t>(first / 100000)];
      const std::int64_t corner = first % 100000;
      for (std::int64_t v = 0; v < 64; ++v) {
        const auto at = static_cast<std::size_t>(corner + ((v / 16) * 8 + v / 4 % 4) * 6 + v % 4);
        ASSERT_EQ(image[s * 64 + static_cast<std::size_t>(v)], c.image.voxels[at]);
        ASSERT_EQ(labels[s * 64 + static_cast<std::size_t>(v)], c.labels.voxels[at]);
      }
    }
  }
}

TEST(LoaderPatches, HoldTheForegroundAsOftenAsAsked) {
  std::vector<VolumeCase> list = {make_case(0, {24, 24, 24})};  // foreground in two corners only
  LoaderOptions options = patch_options();
  options.batch = 300;
  const auto share_of = [&](double foreground_share) {
    options.foreground_share = foreground_share;
    const Batch batch = Loader(list, options).next();
    const auto labels = batch.labels->as<std::uint8_t>();
    int with = 0;
    for (std::size_t s = 0; s < 300; ++s)
      with += std::any_of(labels.begin() + static_cast<std::ptrdiff_t>(s) * 64,
                          labels.begin() + static_cast<std::ptrdiff_t>(s + 1) * 64,
                          [](auto k) { return k != 0; });
    return with / 300.0;
  };

  EXPECT_EQ(share_of(1), 1.0);
  EXPECT_NEAR(share_of(2.0 / 3), 2.0 / 3, 0.1);
  EXPECT_LT(share_of(0), 0.05);
}

TEST(LoaderErrors, NameAPatchLargerThanTheVolume) {
  const auto list = cases(1);
  LoaderOptions options = patch_options();
  options.patch = {4, 9, 4};

  try {
    Loader loader(list, options);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("[4,9,4]"), HasSubstr("case0"), HasSubstr("[7,8,6]")));
  }
}

TEST(LoaderErrors, NameACaseLargerThanTheSample) {
  const auto list = cases(1);
  LoaderOptions options = whole_options();
  options.patch = {8, 8, 4};

  EXPECT_THROW(Loader(list, options), Error);
}

TEST(LoaderErrors, RefuseAnEmptyListAndDifferentChannels) {
  EXPECT_THROW(Loader({}, whole_options()), Error);
  auto list = cases(2);
  list[1].image.extents[3] = 2;
  list[1].image.voxels.resize(2 * list[1].image.voxels.size());
  EXPECT_THROW(Loader(list, whole_options()), Error);
}

TEST(LoaderErrors, OfAThreadComeOutOfNext) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers end the program where an allocation fails";
#endif
  auto list = cases(1);
  Loader loader(list, [] {
    LoaderOptions o = whole_options();
    o.augment = {};
    o.batch = std::int64_t{1} << 44;  // no memory for such a batch
    return o;
  }());

  EXPECT_ANY_THROW(static_cast<void>(loader.next()));
  EXPECT_ANY_THROW(static_cast<void>(loader.next()));
}

TEST(Loader, StopsAtOnceWithFullQueues) {
  const auto list = cases(2);
  LoaderOptions options = whole_options();
  options.threads = 3;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) static_cast<void>(Loader(list, options).next());

  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Loader, SaysHowLongItWasWaitedFor) {
  const auto list = cases(1);
  Loader loader(list, whole_options());
  static_cast<void>(loader.next());

  EXPECT_GE(loader.waited_seconds(), 0);
  EXPECT_LT(loader.waited_seconds(), 10);
}

}  // namespace
}  // namespace hpdlf::train
