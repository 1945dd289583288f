// Reads the fixtures: the safetensors format (u64 header length, JSON header, raw little-endian data).
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

/// @param name  file in tests/fixtures/. @throws Error if it is missing or malformed.
[[nodiscard]] Fixture load_fixture(const std::string& name);

}  // namespace hpdlf::test
