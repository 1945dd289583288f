// Both steps go along rows of the innermost axis, a vector of voxels at a time: source coordinates are linear along a row, so only the
// eight neighbours have to be gathered; noise is Box-Muller on a vector of Philox words.
#include "train/augment.hpp"

#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "train/augment.cc"
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/hash.hpp"
#include "base/philox.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/philox-inl.hpp"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::train {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using VF32 = hn::Vec<F32>;
using VI32 = hn::Vec<I32>;

/// Source coordinates along a row: start + step * z on each axis.
struct RowCoordinates {
  float start[3], step[3];

  [[nodiscard]] HWY_INLINE VF32 at(int axis, VF32 z) const {
    return hn::MulAdd(hn::Set(F32(), step[axis]), z, hn::Set(F32(), start[axis]));
  }
};

/// The two neighbours of a coordinate on one axis, as offsets of elements, and how far the coordinate is from the lower one.
struct Neighbours {
  VI32 low, high;
  VF32 fraction;

  HWY_INLINE Neighbours(VF32 at, std::int64_t extent, std::int64_t stride) {
    const F32 d;
    const I32 di;
    const auto last = hn::Set(d, static_cast<float>(extent - 1));
    const VF32 inside =
        hn::Min(hn::Max(at, hn::Zero(d)), last);   // mode="nearest": the border goes on
    const VI32 floor = hn::ConvertTo(di, inside);  // inside >= 0: truncation is floor
    fraction = hn::Sub(inside, hn::ConvertTo(d, floor));
    const VI32 next =
        hn::Min(hn::Add(floor, hn::Set(di, 1)), hn::Set(di, static_cast<std::int32_t>(extent - 1)));
    const VI32 elements = hn::Set(di, static_cast<std::int32_t>(stride));
    low = hn::Mul(floor, elements);
    high = hn::Mul(next, elements);
  }
};

HWY_INLINE VF32 blend(VF32 a, VF32 b, VF32 fraction) {
  return hn::MulAdd(hn::Sub(b, a), fraction, a);
}

/// `out` has `extents[2]` voxels of `extents[3]` channels and room for one vector more.
void InterpolateRow(const float* HWY_RESTRICT image, const Extents& extents,
                    const RowCoordinates& row, float* HWY_RESTRICT out) {
  const F32 d;
  const std::int64_t channels = extents[3];
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  HWY_ALIGN float lane[HWY_MAX_BYTES / sizeof(float)];
  for (std::int64_t z = 0; z < extents[2]; z += step) {
    const VF32 at = hn::Iota(d, static_cast<float>(z));
    const Neighbours x(row.at(0, at), extents[0], extents[1] * extents[2] * channels);
    const Neighbours y(row.at(1, at), extents[1], extents[2] * channels);
    const Neighbours w(row.at(2, at), extents[2], channels);
    for (std::int64_t c = 0; c < channels; ++c) {
      const float* base = image + c;
      const auto along_z = [&](VI32 xy) HWY_ATTR {
        return blend(hn::GatherIndex(d, base, hn::Add(xy, w.low)),
                     hn::GatherIndex(d, base, hn::Add(xy, w.high)), w.fraction);
      };
      const VF32 front =
          blend(along_z(hn::Add(x.low, y.low)), along_z(hn::Add(x.low, y.high)), y.fraction);
      const VF32 back =
          blend(along_z(hn::Add(x.high, y.low)), along_z(hn::Add(x.high, y.high)), y.fraction);
      const VF32 value = blend(front, back, x.fraction);
      if (channels == 1) {
        hn::StoreU(value, d, out + z);
        continue;
      }
      hn::Store(value, d, lane);
      const std::int64_t count = std::min(step, extents[2] - z);
      for (std::int64_t i = 0; i < count; ++i) out[(z + i) * channels + c] = lane[i];
    }
  }
}

/// Offset of the voxel nearest to each coordinate, or -1 outside the volume (mode="constant"); room as above.
void NearestRow(const Extents& extents, const RowCoordinates& row, std::int32_t* HWY_RESTRICT out) {
  const F32 d;
  const I32 di;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t strides[3] = {extents[1] * extents[2], extents[2], 1};
  for (std::int64_t z = 0; z < extents[2]; z += step) {
    const VF32 number = hn::Iota(d, static_cast<float>(z));
    VI32 offset = hn::Zero(di);
    auto inside = hn::Eq(number, number);
    for (int axis = 0; axis < 3; ++axis) {
      const VF32 at = row.at(axis, number);
      const VF32 last = hn::Set(d, static_cast<float>(extents[axis] - 1));
      inside = hn::And(inside, hn::And(hn::Ge(at, hn::Zero(d)), hn::Le(at, last)));
      const VI32 nearest =
          hn::ConvertTo(di, hn::Add(hn::Min(hn::Max(at, hn::Zero(d)), last), hn::Set(d, 0.5F)));
      offset =
          hn::Add(offset, hn::Mul(nearest, hn::Set(di, static_cast<std::int32_t>(strides[axis]))));
    }
    hn::StoreU(hn::IfThenElse(hn::RebindMask(di, inside), offset, hn::Set(di, -1)), di, out + z);
  }
}

/// values[i] = values[i] * factor + offset + noise * normal(i).
void ChangeIntensity(float* HWY_RESTRICT values, std::int64_t n, float factor, float offset,
                     float noise, std::uint64_t key) {
  constexpr std::int64_t kChunk = 1024;  // voxels a time; two words make two normals
  constexpr float kTurn = 6.2831853F;
  const F32 d;
  const hn::RebindToUnsigned<F32> du;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  HWY_ALIGN std::uint32_t words[kChunk];
  HWY_ALIGN float normals[kChunk];
  // (0, 1]: the logarithm stays finite.
  const auto uniform = [&](const std::uint32_t* p) HWY_ATTR {
    const auto bits = hn::BitCast(hn::RebindToSigned<F32>(), hn::ShiftRight<8>(hn::Load(du, p)));
    return hn::MulAdd(hn::ConvertTo(d, bits), hn::Set(d, 0x1p-24F), hn::Set(d, 0x1p-24F));
  };
  for (std::int64_t begin = 0; begin < n; begin += kChunk) {
    codelets::HWY_NAMESPACE::philox_words(key, static_cast<std::uint64_t>(begin / 4), 0, kChunk / 4,
                                          words);
    for (std::int64_t i = 0; i < kChunk / 2; i += step) {
      const VF32 radius = hn::Sqrt(hn::Mul(hn::Set(d, -2.0F), hn::Log(d, uniform(words + i))));
      const VF32 angle = hn::Mul(uniform(words + kChunk / 2 + i), hn::Set(d, kTurn));
      hn::Store(hn::Mul(radius, hn::Cos(d, angle)), d, normals + i);
      hn::Store(hn::Mul(radius, hn::Sin(d, angle)), d, normals + kChunk / 2 + i);
    }
    const std::int64_t count = std::min(kChunk, n - begin);
    std::int64_t i = 0;
    for (; i + step <= count; i += step) {
      float* p = values + begin + i;
      const VF32 changed = hn::MulAdd(hn::LoadU(d, p), hn::Set(d, factor), hn::Set(d, offset));
      hn::StoreU(hn::MulAdd(hn::Load(d, normals + i), hn::Set(d, noise), changed), d, p);
    }
    for (; i < count; ++i)
      values[begin + i] = values[begin + i] * factor + offset + noise * normals[i];
  }
}

/// Rows of the result: coordinates are rounded to f32 only after the exact start of the row.
void Resample(Volume& image, LabelVolume& labels, const SpatialTransform& t) {
  const Extents e = image.extents;
  const auto padded = static_cast<std::size_t>(e[2] * e[3]) + HWY_MAX_BYTES / sizeof(float);
  const std::vector<float> image_source = image.voxels;
  const std::vector<std::uint8_t> label_source = labels.voxels;
  std::vector<float> values(padded);
  std::vector<std::int32_t> nearest(padded);
  for (std::int64_t x = 0; x < e[0]; ++x)
    for (std::int64_t y = 0; y < e[1]; ++y) {
      RowCoordinates row{};
      for (std::size_t a = 0; a < 3; ++a) {
        row.start[a] =
            static_cast<float>(t.matrix[3 * a] * static_cast<double>(x) +
                               t.matrix[3 * a + 1] * static_cast<double>(y) + t.offset[a]);
        row.step[a] = static_cast<float>(t.matrix[3 * a + 2]);
      }
      InterpolateRow(image_source.data(), e, row, values.data());
      std::copy_n(values.begin(), e[2] * e[3], image.voxels.begin() + (x * e[1] + y) * e[2] * e[3]);
      NearestRow(e, row, nearest.data());
      auto* label = labels.voxels.data() + (x * e[1] + y) * e[2];
      for (std::int64_t z = 0; z < e[2]; ++z) {
        const std::int32_t from = nearest[static_cast<std::size_t>(z)];
        label[z] = from < 0 ? std::uint8_t{0} : label_source[static_cast<std::size_t>(from)];
      }
    }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::train
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::train {
HWY_EXPORT(Resample);
HWY_EXPORT(ChangeIntensity);

namespace {

using Matrix = std::array<double, 9>;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      for (std::size_t k = 0; k < 3; ++k) c[3 * i + j] += a[3 * i + k] * b[3 * k + j];
  return c;
}

}  // namespace

SpatialTransform transform_about_centre(const Extents& extents, const std::array<double, 3>& angles,
                                        const std::array<double, 3>& scales,
                                        const std::array<double, 3>& shift) {
  std::array<double, 3> c{}, s{};
  for (std::size_t i = 0; i < 3; ++i) c[i] = std::cos(angles[i]), s[i] = std::sin(angles[i]);
  const Matrix about_x{1, 0, 0, 0, c[0], -s[0], 0, s[0], c[0]};
  const Matrix about_y{c[1], 0, s[1], 0, 1, 0, -s[1], 0, c[1]};
  const Matrix about_z{c[2], -s[2], 0, s[2], c[2], 0, 0, 0, 1};
  const Matrix scale{scales[0], 0, 0, 0, scales[1], 0, 0, 0, scales[2]};
  SpatialTransform t{.matrix = product(product(about_x, about_y), product(about_z, scale)),
                     .offset = {}};
  for (std::size_t i = 0; i < 3; ++i) {
    t.offset[i] = static_cast<double>(extents[static_cast<int>(i)]) / 2 + shift[i];
    for (std::size_t k = 0; k < 3; ++k)
      t.offset[i] -= t.matrix[3 * i + k] * static_cast<double>(extents[static_cast<int>(k)]) / 2;
  }
  return t;
}

void resample(Volume& image, LabelVolume& labels, const SpatialTransform& transform) {
  for (int i = 0; i < 3; ++i)
    HPDLF_ASSERT(image.extents[i] == labels.extents[i], "image {} and labels {}",
                 to_string(image.extents), to_string(labels.extents));
  HPDLF_CHECK(image.extents.elements() < std::int64_t{1} << 31,
              "augmentation of a volume {}: 2^31 values at most", to_string(image.extents));
  HWY_DYNAMIC_DISPATCH(Resample)(image, labels, transform);
}

void change_intensity(Volume& image, double factor, double offset, double noise,
                      std::uint64_t key) {
  HWY_DYNAMIC_DISPATCH(ChangeIntensity)
  (image.voxels.data(), static_cast<std::int64_t>(image.voxels.size()), static_cast<float>(factor),
   static_cast<float>(offset), static_cast<float>(noise), key);
}

void augment(Volume& image, LabelVolume& labels, const AugmentOptions& options, std::uint64_t key,
             std::uint64_t index) {
  if (options.is_off()) return;
  const std::uint64_t own =
      Hash().add(static_cast<std::int64_t>(key)).add(static_cast<std::int64_t>(index)).value();
  const Philox draw(own);
  // Voxel noise takes stream 0 of the same key, so the few parameters have streams of their own.
  constexpr std::uint64_t kNormals = 1, kUniforms = 2;
  std::array<double, 3> angles{}, scales{}, shift{};
  for (std::size_t i = 0; i < 3; ++i) {
    angles[i] = options.rotation * draw.normal(i, kNormals);
    scales[i] = std::exp(options.scale * draw.normal(3 + i, kNormals));
    shift[i] = options.shift * draw.normal(6 + i, kNormals);
  }
  const auto symmetric = [&](std::uint64_t i, double most) {
    return most * (2 * static_cast<double>(draw.uniform(i, kUniforms)) - 1);
  };
  if (options.rotation != 0 || options.scale != 0 || options.shift != 0)
    resample(image, labels, transform_about_centre(image.extents, angles, scales, shift));
  change_intensity(image, 1 + symmetric(0, options.intensity_scale),
                   symmetric(1, options.intensity_offset), options.noise, own);
}

}  // namespace hpdlf::train
#endif
