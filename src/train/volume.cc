#include "train/volume.hpp"

#include <algorithm>
#include <cmath>

namespace hpdlf::train {
namespace {

std::int64_t channels_of(const Volume& v) { return v.extents[3]; }
std::int64_t channels_of(const LabelVolume&) { return 1; }

Extents space_of(const Extents& e) { return {e[0], e[1], e[2]}; }

/// A volume of the same kind with other spatial extents; voxels are sized, not set.
Volume resized(const Volume& v, const Extents& space) {
  Volume r{{space[0], space[1], space[2], v.extents[3]}, v.affine, {}};
  r.voxels.resize(static_cast<std::size_t>(r.extents.elements()));
  return r;
}
LabelVolume resized(const LabelVolume& v, const Extents& space) {
  LabelVolume r{space, v.affine, {}};
  r.voxels.resize(static_cast<std::size_t>(r.extents.elements()));
  return r;
}

/// Moves the origin of `affine` to voxel (x, y, z) and multiplies its columns by `step`.
Affine placed(const Affine& affine, const std::array<double, 3>& origin,
              const std::array<double, 3>& step) {
  Affine r = affine;
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t c = 0; c < 3; ++c) {
      r[row * 4 + 3] += affine[row * 4 + c] * origin[c];
      r[row * 4 + c] = affine[row * 4 + c] * step[c];
    }
  }
  return r;
}

template <class V>
V cropped(const V& v, const Box& region) {
  HPDLF_ASSERT(Box::whole(space_of(v.extents)).contains(region), "crop {} of a volume {}",
               to_string(region), to_string(v.extents));
  V r = resized(v, region.extents());
  const std::int64_t c = channels_of(v);
  const std::int64_t run = r.extents[2] * c;
  auto out = r.voxels.begin();
  for (std::int64_t x = region.lo[0]; x < region.hi[0]; ++x)
    for (std::int64_t y = region.lo[1]; y < region.hi[1]; ++y, out += run)
      std::copy_n(v.voxels.begin() + ((x * v.extents[1] + y) * v.extents[2] + region.lo[2]) * c,
                  run, out);
  r.affine = placed(v.affine,
                    {static_cast<double>(region.lo[0]), static_cast<double>(region.lo[1]),
                     static_cast<double>(region.lo[2])},
                    {1, 1, 1});
  return r;
}

template <class V>
V mirrored(const V& v) {
  V r = resized(v, space_of(v.extents));
  const std::int64_t plane = v.extents[1] * v.extents[2] * channels_of(v);
  for (std::int64_t x = 0; x < v.extents[0]; ++x)
    std::copy_n(v.voxels.begin() + (v.extents[0] - 1 - x) * plane, plane,
                r.voxels.begin() + x * plane);
  r.affine = placed(v.affine, {static_cast<double>(v.extents[0] - 1), 0, 0}, {-1, 1, 1});
  return r;
}

Extents padded_space(const Extents& e, std::int64_t multiple, const Extents& least) {
  Extents r;
  for (int i = 0; i < 3; ++i)
    r.push_back((std::max(e[i], least[i]) + multiple - 1) / multiple * multiple);
  return r;
}

/// Copies `v` into the low corner of `r`.
template <class V>
void paste_low(const V& v, V& r) {
  const std::int64_t c = channels_of(v);
  const std::int64_t run = v.extents[2] * c;
  for (std::int64_t x = 0; x < v.extents[0]; ++x)
    for (std::int64_t y = 0; y < v.extents[1]; ++y)
      std::copy_n(v.voxels.begin() + (x * v.extents[1] + y) * run, run,
                  r.voxels.begin() + (x * r.extents[1] + y) * r.extents[2] * c);
}

Extents block_extents(const Extents& e, std::int64_t factor) {
  for (int i = 0; i < 3; ++i)
    HPDLF_CHECK(e[i] >= factor, "a volume of {} cannot be downsampled by {}", to_string(e), factor);
  return {e[0] / factor, e[1] / factor, e[2] / factor};
}

}  // namespace

std::array<double, 3> spacing(const Affine& a) {
  std::array<double, 3> mm{};
  for (std::size_t c = 0; c < 3; ++c)
    mm[c] = std::sqrt(a[c] * a[c] + a[4 + c] * a[4 + c] + a[8 + c] * a[8 + c]);
  return mm;
}

Volume downsample(const Volume& v, std::int64_t f) {
  if (f == 1) return v;
  Volume r = resized(v, block_extents(v.extents, f));
  const std::int64_t c = channels_of(v);
  std::vector<double> sum(static_cast<std::size_t>(c));
  auto out = r.voxels.begin();
  for (std::int64_t x = 0; x < r.extents[0]; ++x)
    for (std::int64_t y = 0; y < r.extents[1]; ++y)
      for (std::int64_t z = 0; z < r.extents[2]; ++z) {
        std::fill(sum.begin(), sum.end(), 0.0);
        for (std::int64_t i = 0; i < f * f; ++i) {
          const float* run =
              v.voxels.data() +
              (((x * f + i / f) * v.extents[1] + y * f + i % f) * v.extents[2] + z * f) * c;
          for (std::int64_t k = 0; k < f * c; ++k)
            sum[static_cast<std::size_t>(k % c)] += static_cast<double>(run[k]);
        }
        for (const double s : sum) *out++ = static_cast<float>(s / static_cast<double>(f * f * f));
      }
  const double centre = static_cast<double>(f - 1) / 2;
  const auto step = static_cast<double>(f);
  r.affine = placed(v.affine, {centre, centre, centre}, {step, step, step});
  return r;
}

LabelVolume downsample(const LabelVolume& v, std::int64_t f) {
  if (f == 1) return v;
  LabelVolume r = resized(v, block_extents(v.extents, f));
  auto out = r.voxels.begin();
  for (std::int64_t x = 0; x < r.extents[0]; ++x)
    for (std::int64_t y = 0; y < r.extents[1]; ++y)
      for (std::int64_t z = 0; z < r.extents[2]; ++z)
        *out++ = v.voxels[static_cast<std::size_t>((x * f * v.extents[1] + y * f) * v.extents[2] +
                                                   z * f)];
  const double centre = static_cast<double>(f - 1) / 2;
  const auto step = static_cast<double>(f);
  r.affine = placed(v.affine, {centre, centre, centre}, {step, step, step});
  return r;
}

void normalise_z_score(Volume& v) {
  const auto c = static_cast<std::size_t>(channels_of(v));
  const std::size_t positions = v.voxels.size() / c;
  const auto count = static_cast<double>(positions);
  for (std::size_t k = 0; k < c; ++k) {
    double sum = 0, squares = 0;
    for (std::size_t i = k; i < v.voxels.size(); i += c) sum += static_cast<double>(v.voxels[i]);
    const double mean = sum / count;
    for (std::size_t i = k; i < v.voxels.size(); i += c) {
      const double d = static_cast<double>(v.voxels[i]) - mean;
      squares += d * d;
    }
    const double deviation = std::sqrt(squares / count);
    const double factor = deviation > 0 ? 1 / deviation : 0;
    for (std::size_t i = k; i < v.voxels.size(); i += c)
      v.voxels[i] = static_cast<float>((static_cast<double>(v.voxels[i]) - mean) * factor);
  }
}

Volume pad_to(const Volume& v, std::int64_t multiple, const Extents& least) {
  Volume r = resized(v, padded_space(v.extents, multiple, least));
  if (r.extents == v.extents) return v;
  const auto c = static_cast<std::size_t>(channels_of(v));
  std::vector<float> lowest(v.voxels.begin(), v.voxels.begin() + static_cast<std::ptrdiff_t>(c));
  for (std::size_t i = 0; i < v.voxels.size(); ++i)
    lowest[i % c] = std::min(lowest[i % c], v.voxels[i]);
  for (std::size_t i = 0; i < r.voxels.size(); ++i) r.voxels[i] = lowest[i % c];
  paste_low(v, r);
  return r;
}

LabelVolume pad_to(const LabelVolume& v, std::int64_t multiple, const Extents& least) {
  LabelVolume r = resized(v, padded_space(v.extents, multiple, least));
  paste_low(v, r);
  return r;
}

Volume crop(const Volume& v, const Box& region) { return cropped(v, region); }
LabelVolume crop(const LabelVolume& v, const Box& region) { return cropped(v, region); }
Volume mirror_x(const Volume& v) { return mirrored(v); }
LabelVolume mirror_x(const LabelVolume& v) { return mirrored(v); }

}  // namespace hpdlf::train
