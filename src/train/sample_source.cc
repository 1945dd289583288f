#include "train/sample_source.hpp"

#include <algorithm>
#include <numeric>

#include "base/hash.hpp"
#include "base/philox.hpp"

namespace hpdlf::train {
namespace {

/// What a random number is for; each has a stream of its own.
enum Stream : std::int64_t { kOrder = 1, kPatch = 2, kAugment = 3 };

Philox random(std::uint64_t seed, Stream stream) {
  return Philox(
      Hash().add(static_cast<std::int64_t>(seed)).add(static_cast<std::int64_t>(stream)).value());
}

/// Uniform in [0, n) from 64 random bits, without a bias that matters (n < 2^32).
std::uint64_t below(std::uint64_t n, std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = static_cast<std::uint64_t>(high) << 32 | low;
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(bits) * n) >> 64);
}

}  // namespace

SampleSource::SampleSource(const std::vector<VolumeCase>& cases, const LoaderOptions& options)
    : cases_(cases), options_(options) {
  HPDLF_CHECK(!cases.empty(), "no case to train on");
  HPDLF_CHECK(options.patch.rank() == 3 && options.patch.elements() > 0,
              "patch {}; three positive extents are needed", to_string(options.patch));
  for (const VolumeCase& c : cases) {
    const Extents space{c.image.extents[0], c.image.extents[1], c.image.extents[2]};
    HPDLF_CHECK(c.image.extents[3] == channels(), "case {} has {} channels, case {} has {}",
                cases[0].name, channels(), c.name, c.image.extents[3]);
    HPDLF_ASSERT(c.labels.extents == space, "case {}: image {}, labels {}", c.name,
                 to_string(space), to_string(c.labels.extents));
    for (int i = 0; i < 3; ++i)
      if (options.whole_volumes)
        HPDLF_CHECK(space[i] <= options.patch[i],
                    "case {} of {} voxels does not fit in a sample of {}", c.name, to_string(space),
                    to_string(options.patch));
      else
        HPDLF_CHECK(space[i] >= options.patch[i],
                    "a patch of {} is larger than case {} of {} voxels", to_string(options.patch),
                    c.name, to_string(space));
  }
  if (options.whole_volumes) return;
  for (const VolumeCase& c : cases) {
    auto& of_class = voxels_of_class_.emplace_back();
    for (std::size_t i = 0; i < c.labels.voxels.size(); ++i) {
      const std::size_t k = c.labels.voxels[i];
      if (k >= of_class.size()) of_class.resize(k + 1);
      if (k > 0) of_class[k].push_back(static_cast<std::uint32_t>(i));
    }
    std::erase_if(of_class, [](const auto& voxels) { return voxels.empty(); });
  }
}

std::size_t SampleSource::case_of(std::int64_t number) const {
  const auto n = static_cast<std::int64_t>(cases_.size());
  const auto epoch = static_cast<std::uint64_t>(number / n);
  std::vector<std::size_t> order(cases_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const Philox draw = random(options_.seed, kOrder);
  for (std::size_t i = order.size() - 1; i > 0; --i) {
    const auto w = draw(i, epoch);
    std::swap(order[i], order[below(i + 1, w[0], w[1])]);
  }
  return order[static_cast<std::size_t>(number % n)];
}

Extents SampleSource::patch_corner(std::size_t which, std::int64_t number) const {
  const Extents& space = cases_[which].labels.extents;
  const Philox draw = random(options_.seed, kPatch);
  const auto low = static_cast<std::uint64_t>(number);
  const auto choice = draw(low, 0);
  const auto place = draw(low, 1);
  const auto& of_class = voxels_of_class_[which];
  const bool is_centred =
      !of_class.empty() && static_cast<double>(choice[0]) * 0x1p-32 < options_.foreground_share;
  Extents corner;
  if (is_centred) {
    const auto& voxels = of_class[below(of_class.size(), choice[1], choice[2])];
    const std::int64_t v = voxels[below(voxels.size(), place[0], place[1])];
    const std::int64_t centre[3] = {v / (space[1] * space[2]), v / space[2] % space[1],
                                    v % space[2]};
    for (int i = 0; i < 3; ++i)
      corner.push_back(std::clamp<std::int64_t>(centre[i] - options_.patch[i] / 2, 0,
                                                space[i] - options_.patch[i]));
  } else {
    for (int i = 0; i < 3; ++i)
      corner.push_back(static_cast<std::int64_t>(
          below(static_cast<std::uint64_t>(space[i] - options_.patch[i] + 1),
                place[static_cast<std::size_t>(i)], choice[3])));
  }
  return corner;
}

void SampleSource::make(std::int64_t number, Volume& image, LabelVolume& labels) const {
  const std::size_t which = case_of(number);
  const VolumeCase& c = cases_[which];
  const std::uint64_t key =
      Hash().add(static_cast<std::int64_t>(options_.seed)).add(std::int64_t{kAugment}).value();
  const auto index = static_cast<std::uint64_t>(number);
  if (options_.whole_volumes) {
    image = pad_to(c.image, 1, options_.patch);
    labels = pad_to(c.labels, 1, options_.patch);
    augment(image, labels, options_.augment, key, index);
    return;
  }
  // A margin around the patch, where the volume has one, so that a rotated patch is filled with image instead of repeated border.
  constexpr std::int64_t kMargin = 8;
  Box patch{patch_corner(which, number), {}};
  for (int i = 0; i < 3; ++i) patch.hi.push_back(patch.lo[i] + options_.patch[i]);
  Box region = patch;
  if (!options_.augment.is_off())
    for (int i = 0; i < 3; ++i) {
      region.lo[i] = std::max<std::int64_t>(0, patch.lo[i] - kMargin);
      region.hi[i] = std::min(c.labels.extents[i], patch.hi[i] + kMargin);
    }
  image = crop(c.image, region);
  labels = crop(c.labels, region);
  augment(image, labels, options_.augment, key, index);
  for (int i = 0; i < 3; ++i) {
    patch.lo[i] -= region.lo[i];
    patch.hi[i] -= region.lo[i];
  }
  image = crop(image, patch);
  labels = crop(labels, patch);
}

}  // namespace hpdlf::train
