// Pictures in memory and as PNG, to lie in a run's folder or inside a report.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hpdlf::train {

struct Rgb {
  std::uint8_t r = 0, g = 0, b = 0;
  friend bool operator==(const Rgb&, const Rgb&) = default;
};

/// Rows from top to bottom, pixels from left to right.
struct RgbImage {
  int width = 0, height = 0;
  std::vector<Rgb> pixels;

  RgbImage() = default;
  RgbImage(int w, int h, Rgb fill = {})
      : width(w),
        height(h),
        pixels(static_cast<std::size_t>(w) * static_cast<std::size_t>(h), fill) {}
  [[nodiscard]] Rgb& at(int x, int y) {
    return pixels[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                  static_cast<std::size_t>(x)];
  }
  [[nodiscard]] Rgb at(int x, int y) const {
    return pixels[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                  static_cast<std::size_t>(x)];
  }
};

/// The bytes of a PNG file, 8 bits a channel. @throws LibraryError if libpng refuses (an empty picture).
[[nodiscard]] std::vector<std::byte> encode_png(const RgbImage& image);

/// RFC 4648 with padding.
[[nodiscard]] std::string base64(std::span<const std::byte> bytes);

/// "data:image/png;base64,...": the picture inside an HTML page.
[[nodiscard]] std::string png_data_uri(const RgbImage& image);

}  // namespace hpdlf::train
