#include "base/sample_numbers.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace hpdlf {
namespace {

/// 32 bits that look drawn. Source: the finaliser of MurmurHash3 (A. Appleby, public domain).
std::uint32_t mixed(std::uint32_t i) {
  i = (i ^ i >> 16U) * 0x85EBCA6BU;
  i = (i ^ i >> 13U) * 0xC2B2AE35U;
  return i ^ i >> 16U;
}

}  // namespace

void fill_sample_numbers(std::span<std::byte> memory) {
  // Both halves of a word are bf16 with the exponents -7 to 0, and the high one begins an f32 or f64.
  constexpr std::uint32_t kFree = 0x83FF83FFU, kExponents = 0x3C003C00U;
  for (std::size_t i = 0; i < memory.size(); i += sizeof(std::uint32_t)) {
    const std::uint32_t word = (mixed(static_cast<std::uint32_t>(i)) & kFree) | kExponents;
    std::memcpy(memory.data() + i, &word, std::min(sizeof(word), memory.size() - i));
  }
}

}  // namespace hpdlf
