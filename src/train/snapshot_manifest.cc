#include "train/snapshot_manifest.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/atomic_file.hpp"
#include "train/sha256.hpp"

namespace hpdlf::train::detail {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFormat = "hpdlf-snapshot";
constexpr int kVersion = 1;
constexpr std::size_t kHashDigits = 64;
constexpr std::int64_t kMaxChunkBytes = std::int64_t{1}
                                        << 40;  // far above what is written: sums cannot overflow

/// JSON has no NaN or infinity: they become text.
json number_to_json(double value) {
  return std::isfinite(value) ? json(value) : json(fmt::format("{}", value));
}

double number_from_json(const json& value) {
  if (value.is_number()) return value.get<double>();
  const auto& text = value.get_ref<const std::string&>();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

/// Bytes of a tensor, or nothing if the product does not fit: the extents come from a file.
std::optional<std::int64_t> checked_bytes(DType dtype, const std::vector<std::int64_t>& extents) {
  auto bytes = static_cast<std::int64_t>(size_of(dtype));
  for (const std::int64_t extent : extents)
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  return bytes;
}

bool is_hash(const std::string& text) {
  return text.size() == kHashDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

TensorEntry tensor_from_json(const json& item) {
  TensorEntry tensor;
  tensor.name = item.at("name").get<std::string>();
  const auto dtype_name = item.at("dtype").get<std::string>();
  const auto dtype = dtype_from_name(dtype_name);
  HPDLF_CHECK(dtype.has_value(), "tensor {} has the unknown element type `{}`", tensor.name,
              dtype_name);
  const auto extents = item.at("extents").get<std::vector<std::int64_t>>();
  const auto expected_bytes = checked_bytes(*dtype, extents);
  HPDLF_CHECK(expected_bytes.has_value(), "tensor {} has impossible extents", tensor.name);
  tensor.type = {*dtype, Extents(extents)};
  std::int64_t bytes = 0;
  for (const json& chunk : item.at("chunks")) {
    tensor.chunks.push_back(
        {chunk.at("sha256").get<std::string>(), chunk.at("bytes").get<std::int64_t>()});
    const ChunkEntry& entry = tensor.chunks.back();
    // A hash becomes a file name: nothing but digits may reach the file system.
    HPDLF_CHECK(is_hash(entry.hash) && entry.bytes >= 0 && entry.bytes <= kMaxChunkBytes,
                "tensor {} names the chunk `{}` of {} bytes", tensor.name, entry.hash, entry.bytes);
    bytes += entry.bytes;
  }
  HPDLF_CHECK(bytes == *expected_bytes, "tensor {} is {} but its chunks hold {} bytes", tensor.name,
              graph::to_string(tensor.type), bytes);
  return tensor;
}

Manifest from_json(const json& root) {
  HPDLF_CHECK(root.at("format") == kFormat, "it is no snapshot of HP-DLF");
  const int version = root.at("version").get<int>();
  HPDLF_CHECK(version == kVersion, "it has version {}, this program reads version {}", version,
              kVersion);
  Manifest manifest;
  SnapshotInfo& info = manifest.info;
  info.network = root.at("network").at("name").get<std::string>();
  info.step = root.at("step").get<std::int64_t>();
  info.config_hash = root.at("config_hash").get<std::string>();
  info.loader_position = root.at("loader_position").get<std::string>();
  info.random_state = root.at("random_state").get<std::string>();
  for (const auto& [name, value] : root.at("metrics").items())
    info.metrics[name] = number_from_json(value);
  for (const json& item : root.at("tensors")) manifest.tensors.push_back(tensor_from_json(item));
  return manifest;
}

}  // namespace

std::string to_json(const Manifest& manifest) {
  const SnapshotInfo& info = manifest.info;
  nlohmann::ordered_json root;
  root["format"] = kFormat;
  root["version"] = kVersion;
  root["network"] = {{"name", info.network}};
  root["step"] = info.step;
  root["config_hash"] = info.config_hash;
  root["loader_position"] = info.loader_position;
  root["random_state"] = info.random_state;
  root["metrics"] = nlohmann::ordered_json::object();
  for (const auto& [name, value] : info.metrics) root["metrics"][name] = number_to_json(value);
  root["tensors"] = nlohmann::ordered_json::array();
  for (const TensorEntry& tensor : manifest.tensors) {
    nlohmann::ordered_json chunks = nlohmann::ordered_json::array();
    for (const ChunkEntry& chunk : tensor.chunks)
      chunks.push_back({{"sha256", chunk.hash}, {"bytes", chunk.bytes}});
    const Extents& extents = tensor.type.extents;
    root["tensors"].push_back(
        {{"name", tensor.name},
         {"dtype", std::string(name_of(tensor.type.dtype))},
         {"extents", std::vector<std::int64_t>(extents.begin(), extents.end())},
         {"chunks", chunks}});
  }
  // Names and texts from outside may be no valid UTF-8: replaced rather than refused.
  return root.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  const std::string text = read_text_file(path);
  const std::string expected = read_text_file(folder / kChecksumName);
  const std::string actual =
      fmt::format("{}  {}\n", sha256(std::as_bytes(std::span(text))), kManifestName);
  if (actual != expected)
    throw Error(fmt::format("{} is damaged: its SHA-256 is not the one in {}", path.string(),
                            kChecksumName));
  try {
    return from_json(json::parse(text));
  } catch (const json::exception& error) {
    throw Error(fmt::format("{} cannot be understood: {}", path.string(), error.what()));
  } catch (const Error& error) {
    throw Error(fmt::format("{} cannot be used: {}", path.string(), error.message()));
  }
}

std::int64_t serial_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  std::int64_t serial = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), serial);
  if (error != std::errc() || serial < 0) return -1;
  return std::string_view(end, static_cast<std::size_t>(name.data() + name.size() - end))
                 .starts_with("-step-")
             ? serial
             : -1;
}

std::string folder_name(std::int64_t serial, std::int64_t step) {
  return fmt::format("{:06}-step-{}", serial, step);
}

std::vector<fs::path> list_snapshots(const fs::path& snapshots_folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(snapshots_folder, error), end; !error && it != end;
       it.increment(error))
    if (serial_of(it->path()) >= 0 && it->is_directory()) found.push_back(it->path());
  std::sort(found.begin(), found.end(),
            [](const fs::path& a, const fs::path& b) { return serial_of(a) < serial_of(b); });
  return found;
}

}  // namespace hpdlf::train::detail
