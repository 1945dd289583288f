// Makes NIfTI-1 files for tests, byte by byte after the standard (nifti1.h), independent of the library that reads them.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/shape.hpp"

namespace hpdlf::test {

/// Codes of the standard.
enum class NiftiType : std::int16_t {
  u8 = 2,
  i16 = 4,
  i32 = 8,
  f32 = 16,
  complex64 = 32,
  f64 = 64,
  rgb24 = 128,
  i8 = 256,
  u16 = 512,
  u32 = 768,
  i64 = 1024,
  u64 = 1280
};

struct NiftiFile {
  Extents extents;             ///< x, y, z[, t]
  std::vector<double> values;  ///< in our order: x slowest, then y, z, t
  NiftiType type = NiftiType::f32;
  float slope = 0, intercept = 0;
  std::array<float, 3> pixdim{1, 1, 1};
  std::optional<std::array<float, 12>> sform;
  /// Quaternion b, c, d and offset x, y, z; pixdim[0] = 1.
  std::optional<std::array<float, 6>> qform;
  bool is_big_endian = false;

  [[nodiscard]] std::vector<std::byte> bytes() const;
};

/// Compressed if the name ends in .gz.
void write_nifti(const std::filesystem::path& path, const NiftiFile& file);
void write_bytes(const std::filesystem::path& path, const std::vector<std::byte>& bytes);

}  // namespace hpdlf::test
