#include "train/volume_dataset.hpp"

#include <algorithm>
#include <cmath>
#include <glob.h>

#include "base/nearest.hpp"
#include "base/text.hpp"
#include "train/class_map.hpp"
#include "train/nifti.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;

/// The files that one pattern stands for, sorted; a plain name stands for itself.
std::vector<fs::path> expand(const std::string& pattern) {
  if (pattern.find_first_of("*?[") == std::string::npos) return {pattern};
  glob_t found{};
  const int status = glob(pattern.c_str(), GLOB_TILDE, nullptr, &found);
  std::vector<fs::path> files;
  if (status == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  HPDLF_CHECK(!files.empty(), "no file matches {}", pattern);
  return files;
}

using Channels = std::vector<fs::path>;

/// One list of channel files a case.
std::vector<Channels> find_images(const std::vector<std::string>& entries) {
  std::vector<Channels> cases;
  for (const std::string& entry : entries) {
    std::vector<std::vector<fs::path>> channels;  // [channel][case]
    for (const std::string& pattern : split(entry, ';')) channels.push_back(expand(pattern));
    HPDLF_CHECK(!channels.empty(), "an empty name in the list of images");
    for (const auto& files : channels)
      HPDLF_CHECK(files.size() == channels[0].size(),
                  "the channels of \"{}\" match {} and {} files", entry, channels[0].size(),
                  files.size());
    for (std::size_t i = 0; i < channels[0].size(); ++i) {
      Channels files;
      for (const auto& channel : channels) files.push_back(channel[i]);
      cases.push_back(std::move(files));
    }
  }
  return cases;
}

std::string affine_text(const Affine& a) {
  return fmt::format(
      "[{:.3f} {:.3f} {:.3f} {:.3f}; {:.3f} {:.3f} {:.3f} {:.3f}; {:.3f} {:.3f} {:.3f} {:.3f}]",
      a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
}

void check_same_grid(const fs::path& a, const Extents& ea, const Affine& fa, const fs::path& b,
                     const Extents& eb, const Affine& fb) {
  for (int i = 0; i < 3; ++i)
    HPDLF_CHECK(ea[i] == eb[i],
                "{} has {} x {} x {} voxels, {} has {} x {} x {}: they must lie on one grid",
                a.string(), ea[0], ea[1], ea[2], b.string(), eb[0], eb[1], eb[2]);
  constexpr double kTolerance = 1e-2;  // mm: headers are rounded differently by different programs
  for (std::size_t i = 0; i < 16; ++i)
    if (std::abs(fa[i] - fb[i]) > kTolerance)
      throw Error(fmt::format("{} and {} lie elsewhere in space: affines {} and {}", a.string(),
                              b.string(), affine_text(fa), affine_text(fb)),
                  "resample the label file onto the image's grid");
}

/// All channels of a case in one volume.
Volume read_channels(const Channels& files) {
  Volume first = read_image(files[0]);
  if (files.size() == 1) return first;
  std::vector<Volume> volumes;
  volumes.push_back(std::move(first));
  for (std::size_t i = 1; i < files.size(); ++i) {
    volumes.push_back(read_image(files[i]));
    check_same_grid(files[0], volumes[0].extents, volumes[0].affine, files[i], volumes[i].extents,
                    volumes[i].affine);
  }
  Extents extents = volumes[0].extents;
  extents[3] = 0;
  for (const auto& v : volumes) extents[3] += v.extents[3];
  Volume all{extents, volumes[0].affine, {}};
  all.voxels.reserve(static_cast<std::size_t>(extents.elements()));
  const auto voxels = extents[0] * extents[1] * extents[2];
  for (std::int64_t i = 0; i < voxels; ++i)
    for (const auto& v : volumes)
      all.voxels.insert(all.voxels.end(), v.voxels.begin() + i * v.extents[3],
                        v.voxels.begin() + (i + 1) * v.extents[3]);
  return all;
}

std::string case_name(const fs::path& image) {
  std::string name = image.filename().string();
  return name.substr(0, name.find('.'));
}

/// Reads the cases of one list, at the working resolution, not normalised.
std::vector<VolumeCase> load_list(const std::vector<std::string>& image_entries,
                                  const std::vector<std::string>& label_entries,
                                  const ClassMap& classes) {
  const auto images = find_images(image_entries);
  std::vector<fs::path> labels;
  for (const auto& entry : label_entries)
    for (auto& file : expand(entry)) labels.push_back(std::move(file));
  HPDLF_CHECK(images.size() == labels.size(), "{} images and {} label files: every case needs both",
              images.size(), labels.size());
  std::vector<VolumeCase> cases;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Volume image = read_channels(images[i]);
    const RawLabels raw = read_labels(labels[i]);
    check_same_grid(images[i][0], image.extents, image.affine, labels[i], raw.extents, raw.affine);
    HPDLF_CHECK(cases.empty() || cases[0].image.extents[3] == image.extents[3],
                "{} has {} channels, {} has {}", images[0][0].string(), cases[0].image.extents[3],
                images[i][0].string(), image.extents[3]);
    cases.push_back({case_name(images[i][0]), image, classes.map(raw, labels[i])});
  }
  return cases;
}

void prepare(VolumeCase& c, const VolumeDataOptions& options) {
  c.image = downsample(c.image, options.downsample);
  c.labels = downsample(c.labels, options.downsample);
  if (options.normalise) normalise_z_score(c.image);
}

/// Left halves to train on, right ones mirrored to validate on; the middle plane of an odd volume belongs to neither.
VolumeDataset split_hemispheres(const std::vector<VolumeCase>& cases) {
  VolumeDataset set;
  for (const auto& c : cases) {
    const std::int64_t middle = c.labels.extents[0] / 2;
    Box left = Box::whole(c.labels.extents);
    Box right = left;
    left.hi[0] = middle;
    right.lo[0] = right.hi[0] - middle;
    set.train.push_back({c.name + "-left", crop(c.image, left), crop(c.labels, left)});
    set.validation.push_back({c.name + "-right-mirrored", mirror_x(crop(c.image, right)),
                              mirror_x(crop(c.labels, right))});
  }
  return set;
}

}  // namespace

VolumeDataset load_volumes(const VolumeDataOptions& options) {
  static const std::vector<std::string> kSplits{"files", "hemispheres"};
  HPDLF_CHECK(std::find(kSplits.begin(), kSplits.end(), options.split) != kSplits.end(),
              "unknown split `{}`{}", options.split, did_you_mean(options.split, kSplits));
  if (options.train_images.empty())
    throw Error("no training images: `data.train_images` is empty",
                "name NIfTI files or a glob there");
  const ClassMap classes(options);
  VolumeDataset set;
  if (options.split == "hemispheres") {
    set = split_hemispheres(load_list(options.train_images, options.train_labels, classes));
  } else {
    set.train = load_list(options.train_images, options.train_labels, classes);
    set.validation = load_list(options.validation_images, options.validation_labels, classes);
  }
  for (auto* cases : {&set.train, &set.validation})
    for (auto& c : *cases) prepare(c, options);
  return set;
}

Volume load_image(const std::string& channels, const VolumeDataOptions& options) {
  const auto images = find_images({channels});
  HPDLF_CHECK(images.size() == 1, "\"{}\" names {} images, one is needed", channels, images.size());
  Volume image = downsample(read_channels(images[0]), options.downsample);
  if (options.normalise) normalise_z_score(image);
  return image;
}

std::string first_image(const std::vector<std::string>& entries) {
  const auto images = find_images(entries);
  HPDLF_CHECK(!images.empty(), "an empty list of images");
  std::string channels;
  for (const auto& file : images.front()) channels += (channels.empty() ? "" : ";") + file.string();
  return channels;
}

std::vector<float> class_weights(const std::vector<const LabelVolume*>& labels,
                                 std::int64_t classes) {
  std::vector<double> count(static_cast<std::size_t>(classes));
  double total = 0;
  for (const auto* volume : labels) {
    for (const auto k : volume->voxels) count.at(k) += 1;
    total += static_cast<double>(volume->voxels.size());
  }
  HPDLF_CHECK(total > 0, "no labelled voxel");
  double mean = 0;
  std::vector<double> weight(count.size());
  for (std::size_t k = 0; k < count.size(); ++k) {
    if (count[k] == 0) continue;
    const double frequency = count[k] / total;
    weight[k] = 1 / std::sqrt(frequency);
    mean += weight[k] * frequency;
  }
  const double largest = *std::max_element(weight.begin(), weight.end());
  std::vector<float> result;
  result.reserve(weight.size());
  for (const double w : weight) result.push_back(static_cast<float>((w > 0 ? w : largest) / mean));
  return result;
}

std::vector<double> dice(const LabelVolume& truth, const LabelVolume& predicted,
                         std::int64_t classes) {
  HPDLF_CHECK(truth.extents == predicted.extents, "Dice of {} and {} labels",
              to_string(truth.extents), to_string(predicted.extents));
  std::vector<std::int64_t> both(static_cast<std::size_t>(classes)), sum(both);
  for (std::size_t i = 0; i < truth.voxels.size(); ++i) {
    ++sum.at(truth.voxels[i]);
    ++sum.at(predicted.voxels[i]);
    if (truth.voxels[i] == predicted.voxels[i]) ++both[truth.voxels[i]];
  }
  std::vector<double> result;
  for (std::size_t k = 1; k < sum.size(); ++k)
    result.push_back(
        sum[k] == 0 ? 1.0 : 2.0 * static_cast<double>(both[k]) / static_cast<double>(sum[k]));
  return result;
}

}  // namespace hpdlf::train
