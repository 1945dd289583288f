#include "train/sliding_window.hpp"

#include <algorithm>
#include <cmath>

namespace hpdlf::train {
namespace {

/// exp(-d^2 / 2 sigma^2) along one axis, sigma = extent / 8; never 0, so that every voxel has a class even at a window's corner.
std::vector<float> gaussian(std::int64_t extent) {
  const double sigma = static_cast<double>(extent) / 8;
  std::vector<float> weight;
  for (std::int64_t i = 0; i < extent; ++i) {
    const double d = (static_cast<double>(i) - static_cast<double>(extent - 1) / 2) / sigma;
    weight.push_back(static_cast<float>(std::max(std::exp(-d * d / 2), 1e-3)));
  }
  return weight;
}

/// Probabilities of all classes a voxel, weighted and added up over windows. The sum of weights is the same for every class of a voxel:
/// the largest sum is the largest mean.
class Blend {
 public:
  Blend(const Extents& space, const Extents& window, std::int64_t classes)
      : space_(space),
        window_(window),
        classes_(classes),
        sums_(static_cast<std::size_t>(space.elements() * classes)) {
    for (int i = 0; i < 3; ++i) weights_.push_back(gaussian(window[i]));
  }

  void add(const Extents& corner, const std::vector<float>& probabilities) {
    const std::int64_t run = window_[2] * classes_;
    std::vector<float> weight(static_cast<std::size_t>(run));
    for (std::int64_t x = 0; x < window_[0]; ++x)
      for (std::int64_t y = 0; y < window_[1]; ++y) {
        const float outer =
            weights_[0][static_cast<std::size_t>(x)] * weights_[1][static_cast<std::size_t>(y)];
        for (std::int64_t i = 0; i < run; ++i)
          weight[static_cast<std::size_t>(i)] =
              outer * weights_[2][static_cast<std::size_t>(i / classes_)];
        const float* from = probabilities.data() + (x * window_[1] + y) * run;
        float* to =
            sums_.data() +
            (((corner[0] + x) * space_[1] + corner[1] + y) * space_[2] + corner[2]) * classes_;
        for (std::int64_t i = 0; i < run; ++i)
          to[i] += weight[static_cast<std::size_t>(i)] * from[i];
      }
  }

  [[nodiscard]] std::vector<std::uint8_t> winners() const {
    std::vector<std::uint8_t> labels;
    labels.reserve(static_cast<std::size_t>(space_.elements()));
    for (auto p = sums_.begin(); p != sums_.end(); p += classes_)
      labels.push_back(static_cast<std::uint8_t>(std::max_element(p, p + classes_) - p));
    return labels;
  }

 private:
  Extents space_, window_;
  std::int64_t classes_;
  std::vector<std::vector<float>> weights_;  // [axis][index]
  std::vector<float> sums_;                  // [D, H, W, K]
};

}  // namespace

std::vector<Extents> window_positions(const Extents& volume, const Extents& window,
                                      double overlap) {
  HPDLF_CHECK(overlap >= 0 && overlap < 1,
              "windows overlap by {} of their extent; 0 <= overlap < 1 is needed", overlap);
  std::vector<std::int64_t> starts[3];
  for (int i = 0; i < 3; ++i) {
    HPDLF_CHECK(window[i] >= 1 && window[i] <= volume[i],
                "a window of {} does not fit in a volume of {}", to_string(window),
                to_string(volume));
    const std::int64_t room = volume[i] - window[i];
    const auto step = std::max<std::int64_t>(
        1, static_cast<std::int64_t>(static_cast<double>(window[i]) * (1 - overlap)));
    const std::int64_t gaps = (room + step - 1) / step;
    // Spread evenly: the last ends at the volume's end and no two are further apart than `step`.
    for (std::int64_t k = 0; k <= gaps; ++k) starts[i].push_back(gaps == 0 ? 0 : room * k / gaps);
  }
  std::vector<Extents> positions;
  for (const auto x : starts[0])
    for (const auto y : starts[1])
      for (const auto z : starts[2]) positions.push_back({x, y, z});
  return positions;
}

LabelVolume segment(const Volume& image, const Extents& window, std::int64_t classes,
                    double overlap, const WindowPredictor& predict) {
  HPDLF_CHECK(classes >= 1 && classes <= 256, "{} classes; 1 to 256 fit in a label volume",
              classes);
  const Volume padded = pad_to(image, 1, window);
  const Extents space{padded.extents[0], padded.extents[1], padded.extents[2]};
  Blend blend(space, window, classes);
  for (const Extents& corner : window_positions(space, window, overlap)) {
    Box region{corner, corner};
    for (int i = 0; i < 3; ++i) region.hi[i] += window[i];
    const std::vector<float> probabilities = predict(crop(padded, region).voxels);
    HPDLF_ASSERT(static_cast<std::int64_t>(probabilities.size()) == window.elements() * classes,
                 "a window of {} gave {} probabilities for {} classes", to_string(window),
                 probabilities.size(), classes);
    blend.add(corner, probabilities);
  }
  const LabelVolume labels{space, image.affine, blend.winners()};
  return crop(labels, Box{{0, 0, 0}, {image.extents[0], image.extents[1], image.extents[2]}});
}

std::int64_t segment_bytes(const Extents& image, const Extents& window, std::int64_t classes) {
  std::int64_t space = 1;
  for (int i = 0; i < 3; ++i) space *= std::max(image[i], window[i]);
  const std::int64_t channels = image[3];
  const std::int64_t floats = (space + window.elements()) * (channels + classes);
  return floats * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace hpdlf::train
