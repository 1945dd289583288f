#include "train/png_image.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <png.h>

#include "base/error.hpp"

namespace hpdlf::train {
namespace {

TEST(PngImage, DecodesToTheSamePixels) {
  RgbImage image(7, 5);
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 7; ++x)
      image.at(x, y) = {static_cast<std::uint8_t>(30 * x), static_cast<std::uint8_t>(50 * y),
                        static_cast<std::uint8_t>(x * y)};
  const auto bytes = encode_png(image);

  png_image png;
  std::memset(&png, 0, sizeof png);
  png.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()), 0);
  png.format = PNG_FORMAT_RGB;
  RgbImage decoded(static_cast<int>(png.width), static_cast<int>(png.height));
  ASSERT_NE(png_image_finish_read(&png, nullptr, decoded.pixels.data(), 0, nullptr), 0);

  EXPECT_EQ(decoded.width, 7);
  EXPECT_EQ(decoded.height, 5);
  EXPECT_EQ(decoded.pixels, image.pixels);
}

TEST(PngImage, RefusesAnEmptyPicture) { EXPECT_THROW((void)encode_png(RgbImage()), LibraryError); }

TEST(Base64, MatchesRfc4648) {
  const auto encode = [](std::string_view text) { return base64(std::as_bytes(std::span(text))); };

  EXPECT_EQ(encode(""), "");
  EXPECT_EQ(encode("f"), "Zg==");
  EXPECT_EQ(encode("fo"), "Zm8=");
  EXPECT_EQ(encode("foo"), "Zm9v");
  EXPECT_EQ(encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(encode("\xff\xfe\xfd"), "//79");
}

}  // namespace
}  // namespace hpdlf::train
