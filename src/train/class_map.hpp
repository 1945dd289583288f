// How label values become classes.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "train/nifti.hpp"
#include "train/volume_dataset.hpp"

namespace hpdlf::train {

/// A line of VolumeDataOptions::label_names. Several may have one name.
struct LabelName {
  std::int32_t value = 0;
  std::string text;  ///< all up to a tab
  std::string name;  ///< without the numbers at its end: codes, colours
};

/// What VolumeDataOptions::class_labels says, whose options must outlive it.
class ClassMap {
 public:
  /// @throws Error for an entry that is no value, range or known name, or if there is not one entry a class.
  explicit ClassMap(const VolumeDataOptions& options);
  /// @throws Error for a value of no class: value, how often, file.
  [[nodiscard]] LabelVolume map(const RawLabels& raw, const std::filesystem::path& path) const;

 private:
  void add(const std::string& item, std::uint8_t k);
  void add_names(const std::string& pattern, std::uint8_t k);
  [[nodiscard]] int class_of(std::int32_t value) const;
  [[noreturn]] void fail(const std::vector<std::int32_t>& values, std::int32_t value,
                         const std::filesystem::path& path) const;

  const VolumeDataOptions& options_;
  std::vector<LabelName> names_;
  std::map<std::int32_t, std::uint8_t> values_;
  int rest_ = -1;
};

}  // namespace hpdlf::train
