#include "support/nifti_bytes.hpp"

#include <algorithm>
#include <fstream>
#include <zlib.h>

namespace hpdlf::test {
namespace {

constexpr std::size_t kDataOffset = 352;  // header of 348 bytes and an empty extension flag

/// Appends or sets plain numbers in the file's byte order.
class Writer {
 public:
  explicit Writer(bool is_big_endian) : is_big_endian_(is_big_endian) {}

  template <class T>
  void set(std::size_t at, T value) {
    std::byte bytes[sizeof(T)];
    std::copy_n(reinterpret_cast<const std::byte*>(&value), sizeof(T), bytes);
    if (is_big_endian_) std::reverse(std::begin(bytes), std::end(bytes));
    if (data.size() < at + sizeof(T)) data.resize(at + sizeof(T));
    std::copy_n(bytes, sizeof(T), data.begin() + static_cast<std::ptrdiff_t>(at));
  }
  template <class T>
  void append(double value) {
    set(data.size(), static_cast<T>(value));
  }

  std::vector<std::byte> data;

 private:
  bool is_big_endian_;
};

struct TypeOf {
  NiftiType type;
  std::int16_t bits;
  void (Writer::*append)(double);
};

TypeOf type_of(NiftiType type) {
  static constexpr TypeOf kTypes[] = {{NiftiType::u8, 8, &Writer::append<std::uint8_t>},
                                      {NiftiType::i16, 16, &Writer::append<std::int16_t>},
                                      {NiftiType::i32, 32, &Writer::append<std::int32_t>},
                                      {NiftiType::f32, 32, &Writer::append<float>},
                                      {NiftiType::f64, 64, &Writer::append<double>},
                                      {NiftiType::i8, 8, &Writer::append<std::int8_t>},
                                      {NiftiType::u16, 16, &Writer::append<std::uint16_t>},
                                      {NiftiType::u32, 32, &Writer::append<std::uint32_t>},
                                      {NiftiType::i64, 64, &Writer::append<std::int64_t>},
                                      {NiftiType::u64, 64, &Writer::append<std::uint64_t>},
                                      {NiftiType::complex64, 64, &Writer::append<double>},
                                      {NiftiType::rgb24, 24, &Writer::append<std::uint8_t>}};
  return *std::find_if(std::begin(kTypes), std::end(kTypes),
                       [&](const TypeOf& t) { return t.type == type; });
}

void set_transforms(Writer& out, const NiftiFile& file) {
  out.set<std::int16_t>(252, file.qform ? 1 : 0);
  out.set<std::int16_t>(254, file.sform ? 2 : 0);
  for (std::size_t i = 0; file.qform && i < 6; ++i) out.set(256 + 4 * i, (*file.qform)[i]);
  for (std::size_t i = 0; file.sform && i < 12; ++i) out.set(280 + 4 * i, (*file.sform)[i]);
}

}  // namespace

std::vector<std::byte> NiftiFile::bytes() const {
  const TypeOf type_info = type_of(type);
  Writer out(is_big_endian);
  out.data.resize(kDataOffset);
  out.set<std::int32_t>(0, 348);
  const auto rank = static_cast<std::int16_t>(extents.rank());
  out.set<std::int16_t>(40, rank);
  for (int i = 0; i < 7; ++i)
    out.set<std::int16_t>(42 + 2 * static_cast<std::size_t>(i),
                          i < rank ? static_cast<std::int16_t>(extents[i]) : 1);
  out.set<std::int16_t>(70, static_cast<std::int16_t>(type));
  out.set<std::int16_t>(72, type_info.bits);
  out.set<float>(76, 1);
  for (std::size_t i = 0; i < 3; ++i) out.set<float>(80 + 4 * i, pixdim[i]);
  out.set<float>(108, kDataOffset);
  out.set<float>(112, slope);
  out.set<float>(116, intercept);
  set_transforms(out, *this);
  for (std::size_t i = 0; i < 4; ++i) out.data[344 + i] = static_cast<std::byte>("n+1"[i]);

  const std::int64_t x = extents[0], y = extents[1], z = rank > 2 ? extents[2] : 1,
                     t = rank > 3 ? extents[3] : 1;
  for (std::int64_t d = 0; d < t; ++d)
    for (std::int64_t c = 0; c < z; ++c)
      for (std::int64_t b = 0; b < y; ++b)
        for (std::int64_t a = 0; a < x; ++a)
          (out.*
           type_info.append)(values.at(static_cast<std::size_t>(((a * y + b) * z + c) * t + d)));
  return out.data;
}

void write_bytes(const std::filesystem::path& path, const std::vector<std::byte>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

void write_nifti(const std::filesystem::path& path, const NiftiFile& file) {
  const std::vector<std::byte> bytes = file.bytes();
  if (path.extension() != ".gz") {
    write_bytes(path, bytes);
    return;
  }
  const gzFile out = gzopen(path.c_str(), "wb");
  gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(out);
}

}  // namespace hpdlf::test
