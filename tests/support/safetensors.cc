#include "support/safetensors.hpp"

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace hpdlf::test {
namespace {

const std::map<std::string, DType> kTypes{
    {"F32", DType::f32}, {"F64", DType::f64}, {"U8", DType::u8}};

std::string type_name(DType dtype) {
  for (const auto& [name, type] : kTypes)
    if (type == dtype) return name;
  throw Error(fmt::format("fixtures have no tensors of {}", name_of(dtype)));
}

}  // namespace

Fixture load_fixture(const std::string& name) {
  return read_safetensors(std::filesystem::path(HPDLF_SOURCE_DIR) / "tests/fixtures" / name);
}

Fixture read_safetensors(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  HPDLF_CHECK(in.good(), "cannot read fixture {}", path.string());
  const std::vector<char> file{std::istreambuf_iterator<char>(in), {}};
  std::uint64_t header_length = 0;
  HPDLF_CHECK(file.size() > sizeof header_length, "fixture {} is truncated", path.string());
  std::memcpy(&header_length, file.data(), sizeof header_length);
  const char* body = file.data() + sizeof header_length + header_length;
  const auto header = nlohmann::json::parse(file.data() + sizeof header_length, body);

  Fixture fixture;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      fixture.metadata = entry.get<std::map<std::string, std::string>>();
      continue;
    }
    FixtureTensor tensor{{kTypes.at(entry.at("dtype").get<std::string>()), {}}, {}};
    for (const std::int64_t d : entry.at("shape")) tensor.type.extents.push_back(d);
    const auto from = entry.at("data_offsets").at(0).get<std::size_t>();
    tensor.data.resize(static_cast<std::size_t>(tensor.type.bytes()));
    std::memcpy(tensor.data.data(), body + from, tensor.data.size());
    fixture.tensors.emplace(key, std::move(tensor));
  }
  return fixture;
}

void write_safetensors(const std::filesystem::path& path, const Fixture& content) {
  nlohmann::ordered_json header;
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::size_t at = 0;
  for (const auto& [name, tensor] : content.tensors) {
    const Extents& extents = tensor.type.extents;
    header[name] = {{"dtype", type_name(tensor.type.dtype)},
                    {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
                    {"data_offsets", {at, at + tensor.data.size()}}};
    at += tensor.data.size();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begin at a multiple of 8 bytes
  const std::uint64_t length = text.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out << text;
  for (const auto& [name, tensor] : content.tensors)
    out.write(reinterpret_cast<const char*>(tensor.data.data()),
              static_cast<std::streamsize>(tensor.data.size()));
  out.close();
  HPDLF_CHECK(out.good(), "cannot write {}", path.string());
}

}  // namespace hpdlf::test
