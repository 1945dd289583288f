#include "train/class_map.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/nearest.hpp"
#include "base/text.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;

/// Without the numbers at its end: "Left hippocampus 17 0 0 0" -> "Left hippocampus".
std::string without_numbers(std::string text) {
  for (;;) {
    const auto blank = text.rfind(' ');
    if (blank == std::string::npos ||
        text.find_first_not_of("0123456789.+-", blank + 1) != std::string::npos)
      return text;
    text = trimmed(std::string_view(text).substr(0, blank));
  }
}

std::vector<LabelName> read_label_names(const fs::path& path) {
  std::ifstream in(path);
  HPDLF_CHECK(in.good(), "{}: the file of label names cannot be read", path.string());
  std::vector<LabelName> names;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::int32_t value = 0;
    std::string rest;
    if (!(words >> value) || !std::getline(words, rest)) continue;
    rest = trimmed(rest);
    const std::string column = trimmed(std::string_view(rest).substr(0, rest.find('\t')));
    if (column.empty()) continue;
    names.push_back({value, column, without_numbers(column)});
  }
  HPDLF_CHECK(!names.empty(), "{}: no line of the form `value name`", path.string());
  return names;
}

struct ValueRange {
  std::int32_t low = 0, high = 0;
};

/// "3", "10-20", "-5--1"; nothing if it is neither a value nor a range.
std::optional<ValueRange> range_of(const std::string& text) {
  ValueRange range;
  const char* const end = text.data() + text.size();
  auto read = std::from_chars(text.data(), end, range.low);
  range.high = range.low;
  if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-')
    read = std::from_chars(read.ptr + 1, end, range.high);
  return read.ec == std::errc() && read.ptr == end ? std::optional(range) : std::nullopt;
}

bool is_of_numbers(const std::string& text) {
  return text.find_first_not_of("0123456789-") == std::string::npos;
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
  } else if (is_of_numbers(item)) {
    const auto range = range_of(item);
    HPDLF_CHECK(range, "class \"{}\": \"{}\" is neither a label value, as 5, nor a range, as 5-9",
                options_.classes[k], item);
    HPDLF_CHECK(range->low <= range->high,
                "class \"{}\": the range \"{}\" holds no value; the lower one comes first: {}-{}",
                options_.classes[k], item, range->high, range->low);
    for (std::int64_t v = range->low; v <= range->high; ++v)
      values_[static_cast<std::int32_t>(v)] = k;
  } else {
    add_names(item, k);
  }
}

void ClassMap::add_names(const std::string& pattern, std::uint8_t k) {
  HPDLF_CHECK(!names_.empty(),
              "class \"{}\" names the label \"{}\", but `label_names` gives no file of names",
              options_.classes[k], pattern);
  const auto take = [&](const auto& is_meant) {
    bool found = false;
    for (const LabelName& label : names_)
      if (is_meant(label)) {
        values_[label.value] = k;
        found = true;
      }
    return found;
  };
  const bool prefix = pattern.back() == '*';
  const std::string stem = prefix ? pattern.substr(0, pattern.size() - 1) : pattern;
  const auto begins_so = [](const std::string& beginning) {
    return [beginning](const LabelName& label) { return label.text.starts_with(beginning); };
  };
  const auto is_called_so = [&](const LabelName& label) {
    return label.text == stem || label.name == stem;
  };
  // A description may follow the name: what is called so comes first, then what begins with these words.
  if (prefix ? take(begins_so(stem)) : take(is_called_so) || take(begins_so(stem + " "))) return;
  std::vector<std::string> known;
  for (const LabelName& label : names_) known.push_back(label.name);
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
