#include "train/slices.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace hpdlf::train {
namespace {

/// A plane of the volume: which axis it cuts, and which axes run to the right and up in the picture.
struct Plane {
  const char* name;
  std::size_t normal, right, up;
};
constexpr std::array<Plane, 3> kPlanes = {
    {{"axial", 2, 0, 1}, {"coronal", 1, 0, 2}, {"sagittal", 0, 1, 2}}};

constexpr double kOverlayOpacity = 0.35;  // inside of a class; its outline is opaque

/// Grey levels of the image: the darkest and the brightest half percent are cut off, outliers would flatten the rest.
struct Window {
  float low = 0, high = 1;
  [[nodiscard]] double level(double value) const {
    return std::clamp((value - low) / std::max(1e-12, static_cast<double>(high) - low), 0.0, 1.0);
  }
};

Window window_of(std::span<const float> image) {
  constexpr std::size_t kSamples = 65'536;
  std::vector<float> values;
  for (std::size_t i = 0; i < image.size(); i += std::max<std::size_t>(1, image.size() / kSamples))
    if (std::isfinite(image[i])) values.push_back(image[i]);
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values[values.size() / 200], values[values.size() - 1 - values.size() / 200]};
}

/// One slice of the volume as a 2-D grid: column = position along `right`, row = position along `up`.
class SliceReader {
 public:
  SliceReader(const SliceVolume& volume, const Plane& plane, std::int64_t index)
      : volume_(volume), plane_(plane) {
    const auto& e = volume.extents;
    const std::array<std::int64_t, 3> strides = {e[1] * e[2], e[2], 1};
    base_ = index * strides[plane.normal];
    right_stride_ = strides[plane.right];
    up_stride_ = strides[plane.up];
  }
  [[nodiscard]] std::int64_t columns() const { return volume_.extents[plane_.right]; }
  [[nodiscard]] std::int64_t rows() const { return volume_.extents[plane_.up]; }
  [[nodiscard]] std::uint8_t label(std::span<const std::uint8_t> labels, double column,
                                   double row) const {
    return labels[offset(std::llround(column), std::llround(row))];
  }
  /// Bilinear; voxel centres are at whole numbers.
  [[nodiscard]] double value(double column, double row) const {
    const auto c = static_cast<std::int64_t>(std::floor(column)),
               r = static_cast<std::int64_t>(std::floor(row));
    const double fc = column - static_cast<double>(c), fr = row - static_cast<double>(r);
    return (1 - fr) * ((1 - fc) * voxel(c, r) + fc * voxel(c + 1, r)) +
           fr * ((1 - fc) * voxel(c, r + 1) + fc * voxel(c + 1, r + 1));
  }

 private:
  [[nodiscard]] double voxel(std::int64_t column, std::int64_t row) const {
    const float v = volume_.image[offset(column, row)];
    return std::isfinite(v) ? v : 0;
  }
  [[nodiscard]] std::size_t offset(std::int64_t column, std::int64_t row) const {
    column = std::clamp<std::int64_t>(column, 0, columns() - 1);
    row = std::clamp<std::int64_t>(row, 0, rows() - 1);
    return static_cast<std::size_t>(base_ + column * right_stride_ + row * up_stride_);
  }
  const SliceVolume& volume_;
  const Plane& plane_;
  std::int64_t base_ = 0, right_stride_ = 0, up_stride_ = 0;
};

/// The slice of each plane in which the classes show best (see render_slices).
std::array<std::int64_t, 3> best_slices(const SliceVolume& volume,
                                        std::span<const std::uint8_t> labels) {
  const auto& e = volume.extents;
  if (labels.empty()) return {e[0] / 2, e[1] / 2, e[2] / 2};
  std::array<std::int64_t, 256> total{};
  std::array<std::vector<std::array<std::int64_t, 256>>, 3> counts;  // [axis][position][class]
  for (std::size_t axis = 0; axis < 3; ++axis)
    counts[axis].resize(static_cast<std::size_t>(e[axis]));
  std::size_t voxel = 0;
  for (std::size_t i = 0; i < counts[0].size(); ++i)
    for (std::size_t j = 0; j < counts[1].size(); ++j)
      for (std::size_t k = 0; k < counts[2].size(); ++k, ++voxel) {
        const std::uint8_t c = labels[voxel];
        if (c == 0) continue;
        ++total[c], ++counts[0][i][c], ++counts[1][j][c], ++counts[2][k][c];
      }

  std::array<std::int64_t, 3> best{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    double best_score = 0;
    best[axis] = e[axis] / 2;
    for (std::size_t at = 0; at < counts[axis].size(); ++at) {
      double score = 0;
      for (std::size_t c = 1; c < total.size(); ++c)
        if (total[c] > 0)
          score += static_cast<double>(counts[axis][at][c]) / static_cast<double>(total[c]);
      if (score > best_score) best_score = score, best[axis] = static_cast<std::int64_t>(at);
    }
  }
  return best;
}

Rgb blend(Rgb below, Rgb above, double opacity) {
  const auto mix = [&](std::uint8_t a, std::uint8_t b) {
    return static_cast<std::uint8_t>(std::lround(a + opacity * (b - a)));
  };
  return {mix(below.r, above.r), mix(below.g, above.g), mix(below.b, above.b)};
}

/// Pixels to slice coordinates, for a picture of square pixels with its first row at the top.
struct Frame {
  int width = 0, height = 0;
  double column_step = 1, row_step = 1;  ///< voxels a pixel

  Frame(const SliceReader& slice, const Plane& plane, const SliceVolume& volume, int longest_side) {
    const double w_mm = static_cast<double>(slice.columns()) * volume.spacing_mm[plane.right];
    const double h_mm = static_cast<double>(slice.rows()) * volume.spacing_mm[plane.up];
    const double pixels_per_mm = longest_side / std::max(w_mm, h_mm);
    width = std::max(1, static_cast<int>(std::lround(w_mm * pixels_per_mm)));
    height = std::max(1, static_cast<int>(std::lround(h_mm * pixels_per_mm)));
    column_step = static_cast<double>(slice.columns()) / width;
    row_step = static_cast<double>(slice.rows()) / height;
  }
  [[nodiscard]] double column(int x) const { return (x + 0.5) * column_step - 0.5; }
  [[nodiscard]] double row(int y) const { return (height - y - 0.5) * row_step - 0.5; }
};

RgbImage draw_scan(const SliceReader& slice, const Frame& frame, const Window& window) {
  RgbImage picture(frame.width, frame.height);
  for (int y = 0; y < frame.height; ++y)
    for (int x = 0; x < frame.width; ++x) {
      const auto grey = static_cast<std::uint8_t>(
          std::lround(255 * window.level(slice.value(frame.column(x), frame.row(y)))));
      picture.at(x, y) = {grey, grey, grey};
    }
  return picture;
}

RgbImage draw_labels(RgbImage picture, const SliceReader& slice, const Frame& frame,
                     std::span<const std::uint8_t> labels) {
  if (labels.empty()) return {};
  const auto label_at = [&](int x, int y) {
    return slice.label(labels, frame.column(std::clamp(x, 0, frame.width - 1)),
                       frame.row(std::clamp(y, 0, frame.height - 1)));
  };
  for (int y = 0; y < frame.height; ++y)
    for (int x = 0; x < frame.width; ++x) {
      const std::uint8_t label = label_at(x, y);
      if (label == 0) continue;
      const bool is_outline = label_at(x - 1, y) != label || label_at(x + 1, y) != label ||
                              label_at(x, y - 1) != label || label_at(x, y + 1) != label;
      picture.at(x, y) =
          blend(picture.at(x, y), class_color(label), is_outline ? 1 : kOverlayOpacity);
    }
  return picture;
}

}  // namespace

Rgb class_color(int label) {
  // Okabe and Ito's palette, made for colour-blind readers; black is left out, it would vanish in the scan.
  static constexpr std::array<Rgb, 8> kColors = {{{230, 159, 0},
                                                  {70, 165, 225},
                                                  {0, 178, 120},
                                                  {214, 110, 172},
                                                  {60, 105, 225},
                                                  {220, 85, 25},
                                                  {205, 190, 40},
                                                  {150, 150, 150}}};
  return kColors[static_cast<std::size_t>(std::max(0, label - 1)) % kColors.size()];
}

std::vector<SlicePictures> render_slices(const SliceVolume& volume, int longest_side) {
  const auto voxels =
      static_cast<std::size_t>(volume.extents[0] * volume.extents[1] * volume.extents[2]);
  HPDLF_ASSERT(voxels > 0 && volume.image.size() == voxels,
               "a volume of {} voxels has an image of {}", voxels, volume.image.size());
  for (const auto labels : {volume.truth, volume.prediction})
    HPDLF_ASSERT(labels.empty() || labels.size() == voxels, "a volume of {} voxels has {} labels",
                 voxels, labels.size());

  const Window window = window_of(volume.image);
  const auto at = best_slices(volume, volume.truth.empty() ? volume.prediction : volume.truth);
  std::vector<SlicePictures> pictures;
  for (const Plane& plane : kPlanes) {
    const SliceReader slice(volume, plane, at[plane.normal]);
    const Frame frame(slice, plane, volume, longest_side);
    const RgbImage scan = draw_scan(slice, frame, window);
    pictures.push_back({plane.name, at[plane.normal], scan,
                        draw_labels(scan, slice, frame, volume.truth),
                        draw_labels(scan, slice, frame, volume.prediction)});
  }
  return pictures;
}

}  // namespace hpdlf::train
