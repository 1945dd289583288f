// Reads and writes safetensors (u64 header length, JSON header, raw little-endian data): the fixtures, and what PyTorch is compared with.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graph/ir.hpp"

namespace hpdlf::test {

struct FixtureTensor {
  graph::TensorType type;
  std::vector<std::byte> data;

  template <class T>
  [[nodiscard]] std::vector<T> as() const {
    const T* p = reinterpret_cast<const T*>(data.data());
    return {p, p + data.size() / sizeof(T)};
  }
};

struct Fixture {
  std::map<std::string, FixtureTensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// @throws Error if the file is missing or malformed.
[[nodiscard]] Fixture read_safetensors(const std::filesystem::path& path);
/// @param name  file in tests/fixtures/.
[[nodiscard]] Fixture load_fixture(const std::string& name);
/// @throws Error if the file cannot be written.
void write_safetensors(const std::filesystem::path& path, const Fixture& content);

}  // namespace hpdlf::test
