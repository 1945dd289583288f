#include "train/tensorboard.hpp"

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <fmt/format.h>
#include <unistd.h>

#include "base/atomic_file.hpp"

namespace hpdlf::train {
namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}

/// Little-endian, as protobuf and TFRecord want it whatever the machine is.
template <std::unsigned_integral T>
void append_fixed(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

/// Protobuf: integers are in groups of seven bits, lowest first; a field begins with number * 8 + wire type.
void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    out += static_cast<char>(static_cast<unsigned char>(value | 0x80));
  out += static_cast<char>(value);
}
void append_tag(std::string& out, unsigned field, unsigned wire_type) {
  append_varint(out, field << 3 | wire_type);
}
void append_double(std::string& out, unsigned field, double value) {
  append_tag(out, field, 1);
  append_fixed(out, std::bit_cast<std::uint64_t>(value));
}
void append_float(std::string& out, unsigned field, float value) {
  append_tag(out, field, 5);
  append_fixed(out, std::bit_cast<std::uint32_t>(value));
}
void append_integer(std::string& out, unsigned field, std::int64_t value) {
  append_tag(out, field, 0);
  append_varint(out, static_cast<std::uint64_t>(value));
}
void append_bytes(std::string& out, unsigned field, std::string_view bytes) {
  append_tag(out, field, 2);
  append_varint(out, bytes.size());
  out += bytes;
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// message Event { double wall_time = 1; int64 step = 2; oneof what: string file_version = 3; Summary summary = 5;
/// SessionLog session_log = 7; }
std::string event_head(std::int64_t step) {
  std::string event;
  append_double(event, 1, now_seconds());
  append_integer(event, 2, step);
  return event;
}

}  // namespace

std::uint32_t crc32c(std::string_view data) {
  static constexpr std::array<std::uint32_t, 256> kTable = make_crc_table();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : data) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

std::uint32_t masked_crc32c(std::string_view data) {
  return std::rotr(crc32c(data), 15) + 0xA282EAD8U;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, std::int64_t first_step) {
  make_folders(folder);
  // TensorBoard reads every file whose name holds "tfevents", in the order of their names.
  const auto seconds = static_cast<std::int64_t>(now_seconds());
  for (int serial = 0; path_.empty() || std::filesystem::exists(path_); ++serial)
    path_ =
        folder / fmt::format("events.out.tfevents.{:010}.{}.{}.hpdlf", seconds, ::getpid(), serial);
  file_.open(path_, std::ios::binary);
  if (!file_) throw file_error("write", path_, errno);

  std::string version = event_head(0);
  append_bytes(version, 3, "brain.Event:2");
  write_record(version);
  if (first_step > 0) {
    std::string start;
    append_integer(start, 1, 1);  // message SessionLog { enum status = 1: START = 1 }
    std::string event = event_head(first_step);
    append_bytes(event, 7, start);
    write_record(event);
  }
}

void TensorBoardWriter::add(std::int64_t step, std::span<const Scalar> scalars) {
  std::string
      summary;  // message Summary { repeated Value value = 1 }; Value { string tag = 1; float simple_value = 2 }
  for (const auto& [tag, value] : scalars) {
    std::string entry;
    append_bytes(entry, 1, tag);
    append_float(entry, 2, static_cast<float>(value));
    append_bytes(summary, 1, entry);
  }
  std::string event = event_head(step);
  append_bytes(event, 5, summary);
  write_record(event);
}

void TensorBoardWriter::write_record(std::string_view event) {
  std::string record;
  append_fixed(record, static_cast<std::uint64_t>(event.size()));
  append_fixed(record, masked_crc32c(record));
  record += event;
  append_fixed(record, masked_crc32c(event));
  file_ << record << std::flush;
  if (!file_) throw file_error("write", path_, errno);
}

}  // namespace hpdlf::train
