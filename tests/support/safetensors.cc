#include "support/safetensors.hpp"

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace hpdlf::test {

Fixture load_fixture(const std::string& name) {
  const std::filesystem::path path =
      std::filesystem::path(HPDLF_SOURCE_DIR) / "tests/fixtures" / name;
  std::ifstream in(path, std::ios::binary);
  HPDLF_CHECK(in.good(), "cannot read fixture {}", path.string());
  const std::vector<char> file{std::istreambuf_iterator<char>(in), {}};
  std::uint64_t header_length = 0;
  HPDLF_CHECK(file.size() > sizeof header_length, "fixture {} is truncated", path.string());
  std::memcpy(&header_length, file.data(), sizeof header_length);
  const char* body = file.data() + sizeof header_length + header_length;
  const auto header = nlohmann::json::parse(file.data() + sizeof header_length, body);

  const std::map<std::string, DType> dtypes{
      {"F32", DType::f32}, {"F64", DType::f64}, {"U8", DType::u8}};
  Fixture fixture;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      fixture.metadata = entry.get<std::map<std::string, std::string>>();
      continue;
    }
    FixtureTensor tensor{{dtypes.at(entry.at("dtype").get<std::string>()), {}}, {}};
    for (const std::int64_t d : entry.at("shape")) tensor.type.extents.push_back(d);
    const auto from = entry.at("data_offsets").at(0).get<std::size_t>();
    tensor.data.resize(static_cast<std::size_t>(tensor.type.bytes()));
    std::memcpy(tensor.data.data(), body + from, tensor.data.size());
    fixture.tensors.emplace(key, std::move(tensor));
  }
  return fixture;
}

}  // namespace hpdlf::test
