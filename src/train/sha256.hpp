// SHA-256 of a run of bytes, as 64 hexadecimal digits: the name of a chunk of a snapshot and the proof that it is intact.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace hpdlf::train {

/// The same digits as sha256sum(1) prints. @throws LibraryError if OpenSSL refuses (a FIPS build without the algorithm).
[[nodiscard]] std::string sha256(std::span<const std::byte> bytes);

}  // namespace hpdlf::train
