// Stable hashing (FNV-1a, 64 bits): the same on every machine and run, for fingerprints, cache keys and random streams.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace hpdlf {

class Hash {
 public:
  Hash& bytes(const void* data, std::size_t n) {
    const auto* p = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < n; ++i) value_ = (value_ ^ p[i]) * 0x100000001b3ULL;
    return *this;
  }
  Hash& add(std::string_view s) {
    return bytes(s.data(), s.size()).add(static_cast<std::int64_t>(s.size()));
  }
  Hash& add(std::int64_t v) { return bytes(&v, sizeof v); }
  Hash& add(double v) { return bytes(&v, sizeof v); }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

}  // namespace hpdlf
