#include "train/nifti.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <nifti2_io.h>
#include <span>
#include <zlib.h>

#include "base/atomic_file.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;

struct ImageDeleter {
  void operator()(nifti_image* image) const { nifti_image_free(image); }
};
using ImagePtr = std::unique_ptr<nifti_image, ImageDeleter>;

/// Header only. niftilib's own reading of voxels replaces NaN by 0 and trusts the header's size, so that is done here.
ImagePtr read_header(const fs::path& path) {
  std::error_code error;
  HPDLF_CHECK(fs::exists(path, error), "{}: no such file", path.string());
  HPDLF_CHECK(fs::is_regular_file(path, error), "{} is no file", path.string());
  nifti_set_debug_level(0);
  ImagePtr image(nifti_image_read(path.c_str(), 0));
  if (image == nullptr || image->nifti_type == 0)
    throw Error(fmt::format("{} is no NIfTI file (its header could not be read)", path.string()),
                "images are .nii or .nii.gz; convert DICOM with dcm2niix");
  HPDLF_CHECK(image->ndim >= 3 && image->nx > 0 && image->ny > 0 && image->nz > 0,
              "{}: a 3-D or 4-D volume is needed, this one has {} dimensions ({} x {} x {})",
              path.string(), image->ndim, image->nx, image->ny, image->nz);
  const double voxels = static_cast<double>(image->nx) * static_cast<double>(image->ny) *
                        static_cast<double>(image->nz) *
                        static_cast<double>(std::max<std::int64_t>(1, image->nt));
  constexpr double kMost =
      0x1p40;  // far beyond any memory; products of extents cannot overflow below
  HPDLF_CHECK(voxels <= kMost,
              "{}: a volume of {} x {} x {} x {} is beyond reason, the header must be broken",
              path.string(), image->nx, image->ny, image->nz, image->nt);
  for (int d = 5; d <= image->ndim; ++d)
    HPDLF_CHECK(image->dim[d] == 1,
                "{}: dimension {} has extent {}; 3-D volumes, or 4-D with channels, are supported",
                path.string(), d, image->dim[d]);
  return image;
}

constexpr int kGzipWindow = 15 + 16;  // zlib: the largest window, with gzip's header and checksum

/// Unpacks gzip data, as many members as there are, and checks them to their end. Bytes behind the last member are ignored.
class Gunzip {
 public:
  Gunzip(const fs::path& path, std::span<const std::byte> packed) : path_(path), packed_(packed) {
    HPDLF_ASSERT(inflateInit2(&stream_, kGzipWindow) == Z_OK, "zlib");
  }
  ~Gunzip() { inflateEnd(&stream_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  [[nodiscard]] static bool is_gzip(std::span<const std::byte> data) {
    return data.size() >= 2 && data[0] == std::byte{0x1f} && data[1] == std::byte{0x8b};
  }

  /// @returns the bytes unpacked: fewer than asked for only if the file ends (ended() tells whether as it should).
  /// @throws Error if the data is damaged or does not have the checksum or length that gzip stored with it.
  std::size_t read(std::span<std::byte> to) {
    stream_.next_out = reinterpret_cast<Bytef*>(to.data());
    stream_.avail_out = static_cast<uInt>(to.size());
    while (!ended_ && stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && !feed()) break;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) {
        end_member();
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        throw Error(
            fmt::format("{} is damaged: its content does not have the checksum (CRC-32) or "
                        "the form that gzip gave it ({})",
                        path_.string(), stream_.msg != nullptr ? stream_.msg : "no reason"),
            fmt::format("copy or download it again; `gzip -t {}` tests it", path_.string()));
      }
    }
    return to.size() - stream_.avail_out;
  }
  /// The last member was whole.
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  bool feed() {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // zlib counts in 32 bits
    const std::size_t size = std::min(kMost, packed_.size());
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed_.data()));
    stream_.avail_in = static_cast<uInt>(size);
    packed_ = packed_.subspan(size);
    return size > 0;
  }
  void end_member() {
    if (stream_.avail_in == 0) feed();
    ended_ = !is_gzip(std::as_bytes(std::span(stream_.next_in, stream_.avail_in)));
    if (!ended_) inflateReset(&stream_);
  }

  const fs::path& path_;
  std::span<const std::byte> packed_;  ///< what zlib has not been given yet
  z_stream stream_{};
  bool ended_ = false;
};

/// The first `size` bytes that `packed` holds, or all if there are fewer; grows piece by piece so that a header that
/// promises too much costs no memory.
std::vector<std::byte> gunzip(const fs::path& path, std::span<const std::byte> packed,
                              std::size_t size) {
  constexpr std::size_t kPiece = std::size_t{16} << 20;
  Gunzip reader(path, packed);
  std::vector<std::byte> data;
  for (std::size_t got = kPiece; got == kPiece;) {
    const std::size_t have = data.size();
    const std::size_t want = std::min(kPiece, size - have);
    data.resize(have + want);
    got = reader.read(std::span(data).subspan(have));
    data.resize(have + got);
  }
  std::array<std::byte, 4096> rest;
  while (reader.read(rest) > 0) {  // the checksum is at the end
  }
  HPDLF_CHECK(reader.ended() || data.size() < size,
              "{} is truncated: its voxels are there, but not all of gzip's checksum at its end",
              path.string());
  return data;
}

/// The raw voxels.
std::vector<std::byte> read_raw(const fs::path& path, const nifti_image& image) {
  const auto offset = static_cast<std::size_t>(image.iname_offset);
  const auto total = static_cast<std::size_t>(image.nvox) * static_cast<std::size_t>(image.nbyper);
  std::vector<std::byte> data =
      read_file(image.iname);  // a pair of files has its voxels in another
  if (nifti_is_gzfile(image.iname) != 0 && Gunzip::is_gzip(data))
    data = gunzip(image.iname, data, offset + total);
  const std::size_t there = data.size() - std::min(data.size(), offset);
  HPDLF_CHECK(there >= total,
              "{} is truncated: its header promises {} bytes of voxels, {} are there",
              path.string(), total, there);
  data.erase(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(offset));
  data.resize(total);
  if (image.swapsize > 1 && image.byteorder != nifti_short_order())
    nifti_swap_Nbytes(static_cast<std::int64_t>(total) / image.swapsize, image.swapsize,
                      data.data());
  return data;
}

template <class T>
void convert(const std::vector<std::byte>& raw, std::vector<double>& out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, raw.data() + i * sizeof(T), sizeof(T));
    out[i] = static_cast<double>(value);
  }
}

/// Values in file order (x fastest), unscaled.
std::vector<double> read_values(const fs::path& path, const nifti_image& image) {
  using Convert = void (*)(const std::vector<std::byte>&, std::vector<double>&);
  struct Type {
    int code;
    Convert convert;
  };
  static constexpr Type kTypes[] = {
      {DT_UINT8, convert<std::uint8_t>},   {DT_INT8, convert<std::int8_t>},
      {DT_UINT16, convert<std::uint16_t>}, {DT_INT16, convert<std::int16_t>},
      {DT_UINT32, convert<std::uint32_t>}, {DT_INT32, convert<std::int32_t>},
      {DT_UINT64, convert<std::uint64_t>}, {DT_INT64, convert<std::int64_t>},
      {DT_FLOAT32, convert<float>},        {DT_FLOAT64, convert<double>},
      {DT_FLOAT128, convert<long double>}};
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const Type& t) { return t.code == image.datatype; });
  HPDLF_CHECK(type != std::end(kTypes),
              "{}: voxels of type {} are not supported; integers and floats are", path.string(),
              nifti_datatype_string(image.datatype));
  const std::vector<std::byte> raw = read_raw(path, image);
  std::vector<double> values(static_cast<std::size_t>(image.nvox));
  type->convert(raw, values);
  return values;
}

void check_finite(const fs::path& path, const nifti_image& image,
                  const std::vector<double>& values) {
  const auto is_bad = [](double v) { return !std::isfinite(v); };
  const auto first = std::find_if(values.begin(), values.end(), is_bad);
  if (first == values.end()) return;
  const auto i = first - values.begin();
  throw Error(
      fmt::format("{}: {} of {} voxels are NaN or Inf, the first at ({}, {}, {})", path.string(),
                  std::count_if(first, values.end(), is_bad), values.size(), i % image.nx,
                  i / image.nx % image.ny, i / (image.nx * image.ny) % image.nz),
      "replace them before training, for example by the background value");
}

Affine affine_of(const nifti_image& image) {
  const nifti_dmat44& m = image.sform_code > 0 ? image.sto_xyz : image.qto_xyz;
  Affine affine{};
  for (std::size_t i = 0; i < 16; ++i) affine[i] = m.m[i / 4][i % 4];
  return affine;
}

std::vector<double> read_scaled(const fs::path& path, const nifti_image& image) {
  std::vector<double> values = read_values(path, image);
  check_finite(path, image, values);
  if (image.scl_slope != 0 && (image.scl_slope != 1 || image.scl_inter != 0))
    for (double& v : values) v = v * image.scl_slope + image.scl_inter;
  return values;
}

/// From the file's order (x fastest, channel slowest) to ours ([x, y, z, c]).
template <class T, class Set>
std::vector<T> reordered(const std::vector<double>& values, const Extents& e, Set set) {
  std::vector<T> out(values.size());
  std::size_t i = 0;
  for (std::int64_t c = 0; c < e[3]; ++c)
    for (std::int64_t z = 0; z < e[2]; ++z)
      for (std::int64_t y = 0; y < e[1]; ++y)
        for (std::int64_t x = 0; x < e[0]; ++x)
          out[static_cast<std::size_t>(((x * e[1] + y) * e[2] + z) * e[3] + c)] = set(values[i++]);
  return out;
}

Extents extents_of(const nifti_image& image) {
  return {image.nx, image.ny, image.nz, std::max<std::int64_t>(1, image.ndim >= 4 ? image.nt : 1)};
}

constexpr std::size_t kDataOffset = sizeof(nifti_1_header) + 4;

nifti_1_header header_of(const LabelVolume& labels) {
  for (const auto e : labels.extents)
    HPDLF_CHECK(e <= std::numeric_limits<std::int16_t>::max(),
                "labels {} are too large for NIfTI-1", to_string(labels.extents));
  const std::int64_t dims[8] = {3, labels.extents[0], labels.extents[1], labels.extents[2], 1, 1, 1,
                                1};
  const ImagePtr image(nifti_make_new_nim(dims, DT_UINT8, 0));
  for (std::size_t i = 0; i < 16; ++i) image->sto_xyz.m[i / 4][i % 4] = labels.affine[i];
  image->sform_code = NIFTI_XFORM_SCANNER_ANAT;
  image->qform_code = 0;
  const auto mm = spacing(labels.affine);
  image->dx = mm[0], image->dy = mm[1], image->dz = mm[2];  // its header's pixdim is made of these
  image->xyz_units = NIFTI_UNITS_MM;
  image->intent_code = NIFTI_INTENT_LABEL;
  nifti_1_header header{};
  HPDLF_ASSERT(nifti_convert_nim2n1hdr(image.get(), &header) == 0,
               "no NIfTI-1 header for labels {}", to_string(labels.extents));
  header.vox_offset = static_cast<float>(kDataOffset);
  std::memcpy(header.magic, "n+1", 4);
  return header;
}

/// Atomic writing wants the whole content, and niftilib reports no failed write: so both compression and writing are ours.
std::vector<std::byte> gzip(const std::vector<std::byte>& content) {
  z_stream stream{};
  HPDLF_ASSERT(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8,
                            Z_DEFAULT_STRATEGY) == Z_OK,
               "zlib");
  std::vector<std::byte> packed(deflateBound(&stream, static_cast<uLong>(content.size())));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int status = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  HPDLF_ASSERT(status == Z_STREAM_END, "zlib ended with {}", status);
  return packed;
}

}  // namespace

Volume read_image(const fs::path& path) {
  const ImagePtr image = read_header(path);
  Volume volume{extents_of(*image), affine_of(*image), {}};
  volume.voxels = reordered<float>(read_scaled(path, *image), volume.extents,
                                   [](double v) { return static_cast<float>(v); });
  return volume;
}

RawLabels read_labels(const fs::path& path) {
  const ImagePtr image = read_header(path);
  const Extents e = extents_of(*image);
  HPDLF_CHECK(e[3] == 1, "{}: labels must be 3-D, these have {} volumes", path.string(), e[3]);
  const std::vector<double> values = read_scaled(path, *image);
  for (const double v : values)
    HPDLF_CHECK(v == std::floor(v) && std::abs(v) < 2e9, "{}: {} is no label: labels are integers",
                path.string(), v);
  return {{e[0], e[1], e[2]}, affine_of(*image), reordered<std::int32_t>(values, e, [](double v) {
            return static_cast<std::int32_t>(v);
          })};
}

void write_labels(const fs::path& path, const LabelVolume& labels) {
  const std::string name = path.filename().string();
  const bool is_compressed = name.ends_with(".nii.gz");
  HPDLF_CHECK(is_compressed || name.ends_with(".nii"),
              "{} is no name of a NIfTI file (.nii, .nii.gz)", path.string());
  const nifti_1_header header = header_of(labels);
  std::vector<std::byte> content(kDataOffset);  // the header, then 4 zero bytes: no extension
  std::memcpy(content.data(), &header, sizeof header);
  for (std::int64_t z = 0; z < labels.extents[2]; ++z)
    for (std::int64_t y = 0; y < labels.extents[1]; ++y)
      for (std::int64_t x = 0; x < labels.extents[0]; ++x)
        content.push_back(static_cast<std::byte>(labels.voxels[static_cast<std::size_t>(
            (x * labels.extents[1] + y) * labels.extents[2] + z)]));
  write_file_atomically(path, is_compressed ? gzip(content) : content);
}

}  // namespace hpdlf::train
