// TensorBoard event files: scalars only, written without TensorFlow.
//
// A file is a sequence of TFRecords (length, masked CRC-32C of the length, data, masked CRC-32C of the data); each record is
// one protobuf message tensorflow.Event. The few fields used are encoded by hand: field numbers are those of
// tensorflow/core/util/event.proto and framework/summary.proto.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace hpdlf::train {

class TensorBoardWriter {
 public:
  using Scalar = std::pair<std::string, double>;

  /// Starts a new file in `folder`. @param first_step  > 0 for a resumed run: TensorBoard then drops points of earlier
  /// files from that step on. @throws Error if the file cannot be written.
  explicit TensorBoardWriter(const std::filesystem::path& folder, std::int64_t first_step = 0);

  /// One point of each curve; visible to a running TensorBoard at once. @throws Error on a full disk.
  void add(std::int64_t step, std::span<const Scalar> scalars);

 private:
  void write_record(std::string_view event);
  std::filesystem::path path_;
  std::ofstream file_;
};

/// CRC-32C (Castagnoli) of `data`, as iSCSI and TFRecord use it.
[[nodiscard]] std::uint32_t crc32c(std::string_view data);
/// TFRecord stores CRCs rotated and shifted, so that a CRC of data that holds CRCs stays sound.
[[nodiscard]] std::uint32_t masked_crc32c(std::string_view data);

}  // namespace hpdlf::train
