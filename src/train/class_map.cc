#include "train/class_map.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/nearest.hpp"
#include "base/text.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::int32_t> read_label_names(const fs::path& path) {
  std::ifstream in(path);
  HPDLF_CHECK(in.good(), "{}: the file of label names cannot be read", path.string());
  std::map<std::string, std::int32_t> names;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::int32_t value = 0;
    std::string name;
    if (words >> value >> name) names[name] = value;
  }
  HPDLF_CHECK(!names.empty(), "{}: no line of the form `value name`", path.string());
  return names;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789-") == std::string::npos;
}

}  // namespace

ClassMap::ClassMap(const VolumeDataOptions& options) : options_(options) {
  const auto& entries = options.class_labels;
  if (entries.empty()) return;
  HPDLF_CHECK(entries.size() == options.classes.size(),
              "`class_labels` has {} entries for {} classes", entries.size(),
              options.classes.size());
  if (!options.label_names.empty()) names_ = read_label_names(options.label_names);
  for (std::size_t k = 0; k < entries.size(); ++k)
    for (const std::string& item : split(entries[k], ',')) add(item, static_cast<std::uint8_t>(k));
}

LabelVolume ClassMap::map(const RawLabels& raw, const fs::path& path) const {
  LabelVolume labels{raw.extents, raw.affine, {}};
  labels.voxels.resize(raw.values.size());
  for (std::size_t i = 0; i < raw.values.size(); ++i) {
    const int k = class_of(raw.values[i]);
    if (k < 0) fail(raw.values, raw.values[i], path);
    labels.voxels[i] = static_cast<std::uint8_t>(k);
  }
  return labels;
}

void ClassMap::add(const std::string& item, std::uint8_t k) {
  if (item == "*") {
    rest_ = k;
  } else if (is_number(item)) {
    const auto dash = item.find('-', 1);
    const int low = std::stoi(item);
    const int high = dash == std::string::npos ? low : std::stoi(item.substr(dash + 1));
    for (int v = low; v <= high; ++v) values_[v] = k;
  } else {
    add_names(item, k);
  }
}

void ClassMap::add_names(const std::string& pattern, std::uint8_t k) {
  HPDLF_CHECK(!names_.empty(),
              "class \"{}\" names the label \"{}\", but `label_names` gives no file of names",
              options_.classes[k], pattern);
  const bool prefix = pattern.back() == '*';
  const std::string stem = prefix ? pattern.substr(0, pattern.size() - 1) : pattern;
  bool found = false;
  for (const auto& [name, value] : names_)
    if (prefix ? name.starts_with(stem) : name == stem) {
      values_[value] = k;
      found = true;
    }
  if (found) return;
  std::vector<std::string> known;
  for (const auto& [name, value] : names_) known.push_back(name);
  throw Error(fmt::format("class \"{}\": no label is called \"{}\" in {}{}", options_.classes[k],
                          pattern, options_.label_names.string(), did_you_mean(stem, known)));
}

int ClassMap::class_of(std::int32_t value) const {
  if (options_.class_labels.empty())
    return value >= 0 && value < static_cast<std::int32_t>(options_.classes.size()) ? value : -1;
  const auto it = values_.find(value);
  if (it != values_.end()) return it->second;
  return value == 0 ? 0 : rest_;
}

void ClassMap::fail(const std::vector<std::int32_t>& values, std::int32_t value,
                    const fs::path& path) const {
  throw Error(
      fmt::format("{}: label value {} ({} voxels) belongs to none of the {} classes", path.string(),
                  value, std::count(values.begin(), values.end(), value), options_.classes.size()),
      "add it to `data.class_labels`, or add a class");
}

}  // namespace hpdlf::train
