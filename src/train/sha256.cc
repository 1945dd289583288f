#include "train/sha256.hpp"

#include <array>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/error.hpp"

namespace hpdlf::train {

std::string sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
    std::array<char, 256> text{};
    ERR_error_string_n(ERR_get_error(), text.data(), text.size());
    throw LibraryError(fmt::format("OpenSSL: EVP_Digest(sha256) failed: {}", text.data()));
  }
  std::string hex;
  for (unsigned i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace hpdlf::train
