#include "train/png_image.hpp"

#include <cstring>
#include <png.h>

#include "base/error.hpp"

namespace hpdlf::train {

std::vector<std::byte> encode_png(const RgbImage& image) {
  static_assert(sizeof(Rgb) == 3, "libpng reads packed triples");
  png_image png;
  std::memset(&png, 0, sizeof png);
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = PNG_FORMAT_RGB;

  std::vector<std::byte> bytes(PNG_IMAGE_PNG_SIZE_MAX(png));
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr) == 0)
    throw LibraryError(
        fmt::format("libpng: png_image_write_to_memory failed for a picture of {}x{}: {}",
                    image.width, image.height, png.message));
  bytes.resize(size);
  return bytes;
}

std::string base64(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;  // 24 bits, missing bytes 0
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < n ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) text += j <= n ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::string png_data_uri(const RgbImage& image) {
  return "data:image/png;base64," + base64(encode_png(image));
}

}  // namespace hpdlf::train
