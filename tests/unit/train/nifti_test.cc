#include "train/nifti.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

#include "base/atomic_file.hpp"
#include "support/message_of.hpp"
#include "support/nifti_bytes.hpp"
#include "support/temp_folder.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::NiftiFile;
using test::NiftiType;
using test::TempFolder;
using test::write_nifti;
using testing::AllOf;
using testing::HasSubstr;

/// Values 0, 1, 2, ... in our order.
NiftiFile counting(const Extents& extents, NiftiType type = NiftiType::f32) {
  NiftiFile file{.extents = extents,
                 .values = std::vector<double>(static_cast<std::size_t>(extents.elements())),
                 .type = type};
  for (std::size_t i = 0; i < file.values.size(); ++i) file.values[i] = static_cast<double>(i);
  return file;
}

class NiftiTypes : public testing::TestWithParam<std::tuple<NiftiType, bool, const char*>> {};

TEST_P(NiftiTypes, AreReadInOurOrder) {
  const auto [type, is_big_endian, name] = GetParam();
  const TempFolder folder;
  NiftiFile file = counting({3, 4, 5}, type);
  file.is_big_endian = is_big_endian;
  write_nifti(folder / name, file);

  const Volume image = read_image(folder / name);
  const RawLabels labels = read_labels(folder / name);

  EXPECT_EQ(image.extents, (Extents{3, 4, 5, 1}));
  EXPECT_EQ(labels.extents, (Extents{3, 4, 5}));
  for (std::size_t i = 0; i < file.values.size(); ++i) {
    ASSERT_EQ(static_cast<double>(image.voxels[i]), file.values[i]) << i;
    ASSERT_EQ(labels.values[i], static_cast<std::int32_t>(i));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, NiftiTypes,
    testing::Combine(testing::Values(NiftiType::u8, NiftiType::i8, NiftiType::u16, NiftiType::i16,
                                     NiftiType::u32, NiftiType::i32, NiftiType::u64, NiftiType::i64,
                                     NiftiType::f32, NiftiType::f64),
                     testing::Bool(), testing::Values("a.nii", "a.nii.gz")));

TEST(NiftiImage, AppliesSlopeAndIntercept) {
  const TempFolder folder;
  NiftiFile file = counting({2, 3, 2}, NiftiType::i16);
  file.slope = 0.5F;
  file.intercept = -1;
  write_nifti(folder / "scaled.nii", file);

  const Volume image = read_image(folder / "scaled.nii");

  for (std::size_t i = 0; i < image.voxels.size(); ++i)
    EXPECT_EQ(image.voxels[i], static_cast<float>(i) * 0.5F - 1);
}

TEST(NiftiImage, HasTheFourthAxisAsChannels) {
  const TempFolder folder;
  const NiftiFile file = counting({2, 3, 4, 5}, NiftiType::i32);
  write_nifti(folder / "channels.nii.gz", file);

  const Volume image = read_image(folder / "channels.nii.gz");

  EXPECT_EQ(image.extents, (Extents{2, 3, 4, 5}));
  for (std::size_t i = 0; i < image.voxels.size(); ++i)
    ASSERT_EQ(image.voxels[i], static_cast<float>(i));
}

TEST(NiftiAffine, IsTheSformIfThereIsOne) {
  const TempFolder folder;
  NiftiFile file = counting({2, 2, 2});
  file.sform = std::array<float, 12>{-2, 0, 0, 90, 0, 2, 0.5F, -126, 0, 0, 3, -72};
  file.qform = std::array<float, 6>{0, 0, 0, 1, 2, 3};
  write_nifti(folder / "a.nii", file);

  const Volume image = read_image(folder / "a.nii");

  EXPECT_EQ(image.affine, (Affine{-2, 0, 0, 90, 0, 2, 0.5, -126, 0, 0, 3, -72, 0, 0, 0, 1}));
}

TEST(NiftiAffine, IsTheQformWithoutAnSform) {
  const TempFolder folder;
  NiftiFile file = counting({2, 2, 2});
  file.pixdim = {1, 2, 3};
  file.qform = std::array<float, 6>{0, 0, 1, 10, 20, 30};  // half a turn about z
  write_nifti(folder / "a.nii", file);

  const Volume image = read_image(folder / "a.nii");

  const Affine expected{-1, 0, 0, 10, 0, -2, 0, 20, 0, 0, 3, 30, 0, 0, 0, 1};
  for (std::size_t i = 0; i < 16; ++i) EXPECT_NEAR(image.affine[i], expected[i], 1e-6) << i;
}

TEST(NiftiAffine, IsTheSpacingWithoutEither) {
  const TempFolder folder;
  NiftiFile file = counting({2, 2, 2});
  file.pixdim = {1, 2, 3};
  write_nifti(folder / "a.nii", file);

  EXPECT_EQ(spacing(read_image(folder / "a.nii").affine), (std::array<double, 3>{1, 2, 3}));
}

TEST(NiftiErrors, NameAMissingFile) {
  EXPECT_THAT(message_of([] { static_cast<void>(read_image("nowhere/brain.nii.gz")); }),
              AllOf(HasSubstr("nowhere/brain.nii.gz"), HasSubstr("no such file")));
}

TEST(NiftiErrors, NameAFolder) {
  const TempFolder folder;
  EXPECT_THAT(message_of([&] { static_cast<void>(read_image(folder.path())); }),
              HasSubstr("is no file"));
}

class NiftiTruncation : public testing::TestWithParam<const char*> {};

TEST_P(NiftiTruncation, IsAnErrorThatCountsBytes) {
  const TempFolder folder;
  const fs::path path = folder / GetParam();
  NiftiFile file = counting({16, 16, 16}, NiftiType::f64);
  for (std::size_t i = 0; i < file.values.size(); ++i)
    file.values[i] = std::sin(static_cast<double>(i * i));  // compresses badly
  write_nifti(path, file);
  fs::resize_file(path, fs::file_size(path) * 2 / 3);

  const std::string image = message_of([&] { static_cast<void>(read_image(path)); });
  const std::string labels = message_of([&] { static_cast<void>(read_labels(path)); });

  EXPECT_THAT(image, AllOf(HasSubstr("is truncated"), HasSubstr("promises 32768 bytes")));
  EXPECT_EQ(labels, image);
}

INSTANTIATE_TEST_SUITE_P(Plain, NiftiTruncation, testing::Values("cut.nii", "cut.nii.gz"));

class NiftiDamage : public testing::TestWithParam<NiftiType> {
 protected:
  void SetUp() override {
    NiftiFile file = counting({64, 32, 16}, GetParam());
    for (std::size_t i = 0; i < file.values.size(); ++i)
      file.values[i] = std::floor(100 * std::sin(static_cast<double>(i * i)));
    write_nifti(path_, file);
    good_ = read_file(path_);
    ASSERT_EQ(message(), "no error");
  }
  [[nodiscard]] std::string message() const {
    return message_of([&] { static_cast<void>(read_image(path_)); });
  }
  /// The message when byte `at` is another one.
  [[nodiscard]] std::string message_with_damage(std::size_t at) const {
    auto bytes = good_;
    bytes[at] ^= std::byte{0x10};
    write_file_atomically(path_, bytes);
    return message();
  }
  const TempFolder folder_;
  const fs::path path_ = folder_ / "a.nii.gz";
  std::vector<std::byte> good_;
};

TEST_P(NiftiDamage, IsFoundByTheChecksumAlone) {
  for (std::size_t from_end = 8; from_end > 0; --from_end)  // CRC-32, then the length
    EXPECT_THAT(message_with_damage(good_.size() - from_end),
                AllOf(HasSubstr("a.nii.gz is damaged"), HasSubstr("CRC-32"), HasSubstr("gzip -t")));
}

TEST_P(NiftiDamage, IsFoundInTheVoxels) {
  for (std::size_t at = good_.size() / 2; at < good_.size() - 8; at += 997)
    EXPECT_THAT(message_with_damage(at), testing::ContainsRegex("is damaged|is truncated"));
}

TEST_P(NiftiDamage, IsTruncationIfTheChecksumIsCutOff) {
  for (std::size_t missing = 1; missing <= 8; ++missing) {
    write_file_atomically(path_, std::span(good_).first(good_.size() - missing));
    EXPECT_THAT(message(), AllOf(HasSubstr("is truncated"), HasSubstr("checksum at its end")));
  }
}

TEST_P(NiftiDamage, IsFoundInTheLastOfSeveralMembersToo) {
  auto two = good_;  // gzip joins files by writing one after the other, as block-wise packers do
  two.insert(two.end(), good_.begin(), good_.end());
  write_file_atomically(path_, two);
  EXPECT_EQ(message(), "no error");

  two[two.size() - 6] ^= std::byte{1};
  write_file_atomically(path_, two);

  EXPECT_THAT(message(), HasSubstr("CRC-32"));
}

INSTANTIATE_TEST_SUITE_P(Types, NiftiDamage, testing::Values(NiftiType::i8, NiftiType::f64));

TEST(NiftiErrors, RefuseWhatIsNoNifti) {
  const TempFolder folder;
  for (const char* name : {"text.nii", "text.nii.gz", "text.txt", "empty.nii"}) {
    std::ofstream(folder / name) << (std::string(name) == "empty.nii" ? ""
                                                                      : std::string(1000, 'x'));

    EXPECT_THAT(message_of([&] { static_cast<void>(read_image(folder / name)); }),
                AllOf(HasSubstr(name), HasSubstr("is no NIfTI file")));
  }
}

TEST(NiftiErrors, RefuseColoursAndComplexNumbers) {
  const TempFolder folder;
  for (const auto type : {NiftiType::rgb24, NiftiType::complex64}) {
    write_nifti(folder / "a.nii", counting({2, 2, 2}, type));

    EXPECT_THAT(message_of([&] { static_cast<void>(read_image(folder / "a.nii")); }),
                HasSubstr("are not supported"));
  }
}

TEST(NiftiErrors, RefuseAPlane) {
  const TempFolder folder;
  write_nifti(folder / "plane.nii", counting({4, 4}));

  EXPECT_THAT(message_of([&] { static_cast<void>(read_image(folder / "plane.nii")); }),
              HasSubstr("3-D or 4-D volume is needed"));
}

TEST(NiftiErrors, RefuseLabelsWithChannels) {
  const TempFolder folder;
  write_nifti(folder / "a.nii", counting({2, 2, 2, 3}));

  EXPECT_THAT(message_of([&] { static_cast<void>(read_labels(folder / "a.nii")); }),
              HasSubstr("labels must be 3-D"));
}

TEST(NiftiErrors, CountVoxelsThatAreNoNumbers) {
  const TempFolder folder;
  NiftiFile file = counting({3, 4, 5});
  file.values[(1 * 4 + 2) * 5 + 3] = std::numeric_limits<double>::quiet_NaN();
  file.values[(2 * 4 + 3) * 5 + 4] = -std::numeric_limits<double>::infinity();
  write_nifti(folder / "a.nii.gz", file);

  EXPECT_THAT(message_of([&] { static_cast<void>(read_image(folder / "a.nii.gz")); }),
              HasSubstr("2 of 60 voxels are NaN or Inf, the first at (1, 2, 3)"));
}

TEST(NiftiErrors, RefuseFractionsAsLabels) {
  const TempFolder folder;
  NiftiFile file = counting({2, 2, 2});
  file.values[5] = 2.5;
  write_nifti(folder / "a.nii", file);

  EXPECT_THAT(message_of([&] { static_cast<void>(read_labels(folder / "a.nii")); }),
              HasSubstr("2.5 is no label"));
}

class WrittenLabels : public testing::TestWithParam<const char*> {};

TEST_P(WrittenLabels, AreReadBackWithTheirAffine) {
  const TempFolder folder;
  LabelVolume labels{{3, 4, 5}, {-2, 0, 0, 90, 0, 1.5, 0, -126, 0, 0.25, 3, -72, 0, 0, 0, 1}, {}};
  for (int i = 0; i < 60; ++i) labels.voxels.push_back(static_cast<std::uint8_t>(i * 4));

  write_labels(folder / GetParam(), labels);

  const RawLabels read = read_labels(folder / GetParam());
  EXPECT_EQ(read.extents, labels.extents);
  EXPECT_EQ(read.affine, labels.affine);
  EXPECT_TRUE(std::equal(read.values.begin(), read.values.end(), labels.voxels.begin(),
                         labels.voxels.end()));
  int files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder.path())) ++files;
  EXPECT_EQ(files, 1) << "a temporary file is left";
}

INSTANTIATE_TEST_SUITE_P(Names, WrittenLabels,
                         testing::Values("labels.nii", "labels.nii.gz", "sub-01.t1.nii.gz"));

TEST(WrittenLabels, SayHowLargeTheirVoxelsAre) {
  const TempFolder folder;
  write_labels(folder / "labels.nii",
               {{1, 1, 1}, {2, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1}, {0}});

  const auto bytes = read_file(folder / "labels.nii");
  std::array<float, 3> mm{};
  std::memcpy(mm.data(), bytes.data() + 80, sizeof mm);  // pixdim[1..3] of nifti1.h
  EXPECT_EQ(mm, (std::array<float, 3>{2, 0.5, 3}));
}

TEST(WrittenLabels, NeedAFolderAndAName) {
  const TempFolder folder;
  const LabelVolume labels{{1, 1, 1}, {}, {0}};

  EXPECT_NE(message_of([&] { write_labels(folder / "missing/labels.nii.gz", labels); }),
            "no error");
  EXPECT_THAT(message_of([&] { write_labels(folder / "labels.png", labels); }),
              HasSubstr("no name of a NIfTI file"));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Colin27, IsReadWithItsLabels) {
  const fs::path templates = "/usr/share/mricron/templates";
  if (!fs::exists(templates / "ch2.nii.gz"))
    GTEST_SKIP() << "Debian's mricron-data is not installed";

  const Volume image = read_image(templates / "ch2.nii.gz");
  const RawLabels labels = read_labels(templates / "aal.nii.gz");

  EXPECT_EQ(image.extents, (Extents{181, 217, 181, 1}));
  EXPECT_EQ(labels.extents, (Extents{181, 217, 181}));
  EXPECT_EQ(image.affine, (Affine{1, 0, 0, -90, 0, 1, 0, -125, 0, 0, 1, -71, 0, 0, 0, 1}));
  EXPECT_EQ(labels.affine, image.affine);
  EXPECT_EQ(*std::max_element(labels.values.begin(), labels.values.end()), 116);
}

}  // namespace
}  // namespace hpdlf::train
