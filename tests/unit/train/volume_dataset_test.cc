#include "train/volume_dataset.hpp"

#include <cmath>
#include <fstream>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>

#include "support/message_of.hpp"
#include "support/nifti_bytes.hpp"
#include "support/safetensors.hpp"
#include "support/temp_folder.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::NiftiFile;
using test::NiftiType;
using test::TempFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

NiftiFile filled(const Extents& extents, const std::function<double(std::int64_t)>& value,
                 NiftiType type = NiftiType::f32) {
  NiftiFile file{.extents = extents, .values = {}, .type = type};
  for (std::int64_t i = 0; i < extents.elements(); ++i) file.values.push_back(value(i));
  return file;
}

/// A folder with images image0, image1, ... and labels label0, ... whose values are 0, 10, 20, 30 in turn.
class VolumeData : public testing::Test {
 protected:
  void make_pairs(int n, const Extents& extents = {4, 6, 8}) {
    for (int k = 0; k < n; ++k) {
      write("image" + std::to_string(k) + ".nii.gz",
            filled(extents, [&](std::int64_t i) { return 1000.0 * k + static_cast<double>(i); }));
      write("label" + std::to_string(k) + ".nii.gz",
            filled(
                extents, [](std::int64_t i) { return static_cast<double>(i % 4 * 10); },
                NiftiType::u8));
    }
  }
  void write(const std::string& name, const NiftiFile& file) {
    test::write_nifti(folder_ / name, file);
  }
  void write_names(const std::string& lines =
                       "10 Hippocampus_L 4101\n20 Hippocampus_R 4102\n30 Amygdala_L 4201\n") {
    std::ofstream(folder_ / "names.txt") << lines;
  }
  /// Classes of the values 0, 10, 20, 30 if the classes are made of `labels` and the names that were written.
  [[nodiscard]] std::vector<std::uint8_t> classes_of(const std::vector<std::string>& labels) const {
    VolumeDataOptions o = options();
    o.label_names = in("names.txt");
    o.class_labels = labels;
    const auto voxels = load_volumes(o).train[0].labels.voxels;
    return {voxels.begin(), voxels.begin() + 4};
  }

  [[nodiscard]] std::string in(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] VolumeDataOptions options() const {
    return {.train_images = {in("image*.nii.gz")},
            .train_labels = {in("label*.nii.gz")},
            .classes = {"background", "a", "b", "c"},
            .class_labels = {"0", "10", "20", "30"},
            .normalise = false};
  }
  [[nodiscard]] std::string load_error(const VolumeDataOptions& o) const {
    return message_of([&] { static_cast<void>(load_volumes(o)); });
  }

  TempFolder folder_;
};

TEST_F(VolumeData, IsFoundByGlobAndMapped) {
  make_pairs(3);

  const VolumeDataset data = load_volumes(options());

  ASSERT_EQ(data.train.size(), 3U);
  EXPECT_TRUE(data.validation.empty());
  EXPECT_EQ(data.train[2].name, "image2");
  EXPECT_EQ(data.train[2].image.extents, (Extents{4, 6, 8, 1}));
  for (std::size_t i = 0; i < 192; ++i) {
    ASSERT_EQ(data.train[2].image.voxels[i], 2000.0F + static_cast<float>(i));
    ASSERT_EQ(data.train[2].labels.voxels[i], i % 4);
  }
}

TEST_F(VolumeData, HasSeveralChannelsACase) {
  make_pairs(2);
  VolumeDataOptions o = options();
  o.train_images = {in("image*.nii.gz") + "; " + in("label*.nii.gz")};

  const VolumeDataset data = load_volumes(o);

  ASSERT_EQ(data.train.size(), 2U);
  EXPECT_EQ(data.train[1].image.extents, (Extents{4, 6, 8, 2}));
  EXPECT_EQ(data.train[1].image.voxels[2 * 7], 1007.0F);
  EXPECT_EQ(data.train[1].image.voxels[2 * 7 + 1], 30.0F);
}

TEST_F(VolumeData, MapsRangesNamesAndTheRest) {
  make_pairs(1);
  write_names();
  VolumeDataOptions o = options();
  o.label_names = in("names.txt");

  o.class_labels = {"", "10-20", "30", "*"};
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[1], 1);
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[2], 1);
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[3], 2);

  o.class_labels = {"", "Hippocampus*", "Amygdala_L", ""};
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[2], 1);
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[3], 2);

  o.class_labels = {"", "Amygdala_L", "", "*"};
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[0], 0) << "the rest never takes value 0";
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[1], 3);
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[3], 1);
}

TEST_F(VolumeData, TakesNamesOfSeveralWords) {
  make_pairs(1);
  write_names(
      "# FreeSurfer's form\n\n10 Left hippocampus 17 220 0 0\n20 Left amygdala\tLA\t1\r\n30  Area "
      "4 \r\n");

  EXPECT_THAT(classes_of({"", "Left hippocampus", "Left amygdala", "Area 4"}),
              ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(classes_of({"", "Left hippocampus 17 220 0 0", "Left a*", "*"}),
              ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(classes_of({"", "Area", "Left", ""}), ElementsAre(0, 2, 2, 1))
      << "what begins with the word, if nothing is called so";
}

TEST_F(VolumeData, TakesAllValuesOfAName) {
  make_pairs(1);
  write_names("10 Cortex\n20 White 1 2 3 0\n30 Cortex 4 5 6 0\n");

  EXPECT_THAT(classes_of({"", "Cortex", "White", ""}), ElementsAre(0, 1, 2, 1));
}

TEST_F(VolumeData, IsValueEqualsClassWithoutAMapping) {
  write("image0.nii.gz", filled({2, 2, 2}, [](std::int64_t i) { return static_cast<double>(i); }));
  write("label0.nii.gz",
        filled({2, 2, 2}, [](std::int64_t i) { return static_cast<double>(i % 4); }));
  VolumeDataOptions o = options();
  o.class_labels = {};

  EXPECT_EQ(load_volumes(o).train[0].labels.voxels,
            (std::vector<std::uint8_t>{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST_F(VolumeData, IsDownsampledAndNormalisedAlikeForPrediction) {
  make_pairs(1);
  VolumeDataOptions o = options();
  o.downsample = 2;
  o.normalise = true;

  const VolumeCase c = load_volumes(o).train[0];
  const Volume alone = load_image(in("image0.nii.gz"), o);

  EXPECT_EQ(c.image.extents, (Extents{2, 3, 4, 1}));
  EXPECT_EQ(c.labels.extents, (Extents{2, 3, 4}));
  EXPECT_EQ(c.image.voxels, alone.voxels);
  EXPECT_EQ(c.image.affine, alone.affine);
  EXPECT_NEAR(std::accumulate(alone.voxels.begin(), alone.voxels.end(), 0.0), 0, 1e-5);
}

TEST_F(VolumeData, SplitsHemispheresAsTheRecipe) {
  const test::Fixture fixture = test::load_fixture("volume_recipe.safetensors");
  const auto tensor = [&](const std::string& name) -> const test::FixtureTensor& {
    return fixture.tensors.at("hemispheres." + name);
  };
  const auto raw = tensor("raw").as<std::uint8_t>();
  const NiftiFile file{.extents = tensor("raw").type.extents,
                       .values = {raw.begin(), raw.end()},
                       .type = NiftiType::u8};
  write("image0.nii.gz", file);
  write("label0.nii.gz", file);
  VolumeDataOptions o = options();
  o.split = "hemispheres";
  o.class_labels = {"0-49", "50-99", "100-149", "150-199"};
  o.downsample = 2;
  o.normalise = true;

  const VolumeDataset data = load_volumes(o);

  ASSERT_EQ(data.train.size(), 1U);
  ASSERT_EQ(data.validation.size(), 1U);
  for (const auto& [half, name] :
       {std::pair(&data.train[0], "left"), std::pair(&data.validation[0], "right")}) {
    const auto expected = tensor(name).as<float>();
    const Volume image = pad_to(half->image, 16);
    ASSERT_EQ(image.voxels.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(image.voxels[i], expected[i], 1e-5) << name << " " << i;
    EXPECT_EQ(pad_to(half->labels, 16).voxels,
              tensor(name + std::string("_labels")).as<std::uint8_t>())
        << name;
  }
  const LabelVolume padded = pad_to(data.train[0].labels, 16);
  const auto weights = class_weights({&padded}, 4);
  const auto expected = tensor("class_weights").as<double>();
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(weights[k], expected[k], 1e-6 * expected[k]);
}

TEST_F(VolumeData, ErrorsNameWhatIsMissing) {
  make_pairs(1);
  VolumeDataOptions o = options();

  o.train_images = {in("scan*.nii")};
  EXPECT_THAT(load_error(o), AllOf(HasSubstr("no file matches"), HasSubstr("scan*.nii")));
  o.train_images = {in("scan.nii")};
  EXPECT_THAT(load_error(o), AllOf(HasSubstr("scan.nii"), HasSubstr("no such file")));
  o.train_images = {};
  EXPECT_THAT(load_error(o), HasSubstr("no training images"));
  o = options();
  o.train_labels = {};
  EXPECT_THAT(load_error(o), HasSubstr("1 images and 0 label files"));
}

TEST_F(VolumeData, ErrorsNameImageAndLabelOfDifferentShape) {
  make_pairs(1);
  write("label0.nii.gz", filled({4, 6, 7}, [](std::int64_t) { return 0; }));

  EXPECT_THAT(load_error(options()), AllOf(HasSubstr("image0.nii.gz has 4 x 6 x 8 voxels"),
                                           HasSubstr("label0.nii.gz has 4 x 6 x 7")));
}

TEST_F(VolumeData, ErrorsNameImageAndLabelInDifferentPlaces) {
  make_pairs(1);
  NiftiFile label = filled({4, 6, 8}, [](std::int64_t) { return 0; });
  label.sform = std::array<float, 12>{1, 0, 0, 5, 0, 1, 0, 0, 0, 0, 1, 0};
  write("label0.nii.gz", label);

  EXPECT_THAT(load_error(options()),
              AllOf(HasSubstr("lie elsewhere in space"), HasSubstr("0.000 5.000")));
}

TEST_F(VolumeData, ErrorsCountALabelValueOfNoClass) {
  make_pairs(1);
  VolumeDataOptions o = options();

  o.class_labels = {"0", "10", "20", ""};
  EXPECT_THAT(load_error(o), AllOf(HasSubstr("label0.nii.gz: label value 30 (48 voxels)"),
                                   HasSubstr("none of the 4 classes")));
  o.class_labels = {};
  EXPECT_THAT(load_error(o), HasSubstr("label value 10 (48 voxels)"));
}

TEST_F(VolumeData, ErrorsNameTheNearestLabelName) {
  make_pairs(1);
  write_names();
  VolumeDataOptions o = options();
  o.label_names = in("names.txt");

  o.class_labels = {"", "Hipocampus_L", "*", ""};
  EXPECT_THAT(load_error(o), AllOf(HasSubstr("class \"a\": no label is called \"Hipocampus_L\""),
                                   HasSubstr("Hippocampus_L`?")));
  o.label_names = "";
  EXPECT_THAT(load_error(o), HasSubstr("`label_names` gives no file"));
  o.label_names = in("nothing.txt");
  EXPECT_THAT(load_error(o), AllOf(HasSubstr("nothing.txt"), HasSubstr("cannot be read")));
}

TEST_F(VolumeData, ErrorsNameValuesAndRangesThatAreNone) {
  make_pairs(1);
  VolumeDataOptions o = options();

  for (const char* item : {"5-", "1-3-5", "-", "--5", "5--", "99999999999", "1-99999999999"}) {
    o.class_labels = {"0", item, "20", "*"};
    EXPECT_THAT(load_error(o), AllOf(HasSubstr(fmt::format("class \"a\": \"{}\" is neither", item)),
                                     HasSubstr("nor a range, as 5-9")));
  }
  o.class_labels = {"0", "20-10", "30", "*"};
  EXPECT_THAT(load_error(o), AllOf(HasSubstr("class \"a\": the range \"20-10\" holds no value"),
                                   HasSubstr("10-20")));
  o.class_labels = {"-9--5,0", "10-10", "20,30", ""};
  EXPECT_EQ(load_volumes(o).train[0].labels.voxels[3], 2);
}

TEST_F(VolumeData, ErrorsNameClassesWithoutLabelsAndUnknownSplits) {
  make_pairs(1);
  VolumeDataOptions o = options();

  o.class_labels = {"0", "10"};
  EXPECT_THAT(load_error(o), HasSubstr("has 2 entries for 4 classes"));
  o = options();
  o.split = "hemisphere";
  EXPECT_THAT(load_error(o), HasSubstr("did you mean `hemispheres`?"));
}

TEST_F(VolumeData, ErrorsNameDifferentNumbersOfChannels) {
  make_pairs(2);
  VolumeDataOptions o = options();

  o.train_images = {in("image0.nii.gz") + ";" + in("image*.nii.gz")};
  EXPECT_THAT(load_error(o), HasSubstr("match 1 and 2 files"));
  o.train_images = {in("image0.nii.gz"), in("image1.nii.gz") + ";" + in("image1.nii.gz")};
  EXPECT_THAT(load_error(o), HasSubstr("channels"));
}

TEST(ClassWeights, HaveMeanOneOverVoxels) {
  const LabelVolume labels{{1, 1, 8}, {}, {0, 0, 0, 0, 0, 0, 1, 3}};

  const auto w = class_weights({&labels}, 4);

  EXPECT_NEAR((6 * w[0] + w[1] + w[3]) / 8, 1, 1e-6);
  EXPECT_NEAR(w[1] / w[0], std::sqrt(6.0), 1e-5);
  EXPECT_EQ(w[2], w[1]) << "a class that never occurs";
}

TEST(Dice, IsTwiceTheOverlapOverTheSizes) {
  const LabelVolume truth{{1, 1, 6}, {}, {0, 1, 1, 1, 2, 0}};
  const LabelVolume predicted{{1, 1, 6}, {}, {0, 1, 1, 0, 0, 0}};

  EXPECT_EQ(dice(truth, predicted, 4), (std::vector<double>{0.8, 0, 1}));
  EXPECT_THROW(static_cast<void>(dice(truth, {{1, 1, 1}, {}, {0}}, 4)), Error);
}

TEST(Colin27, IsPreparedAsTheDefaultAppNeedsIt) {
  const fs::path templates = "/usr/share/mricron/templates";
  if (!fs::exists(templates / "ch2.nii.gz"))
    GTEST_SKIP() << "Debian's mricron-data is not installed";
  const VolumeDataOptions o{
      .train_images = {templates / "ch2.nii.gz"},
      .train_labels = {templates / "aal.nii.gz"},
      .split = "hemispheres",
      .classes = {"background", "cortex", "deep grey", "hippocampus + amygdala", "cerebellum"},
      .class_labels = {"0", "*", "Caudate*,Putamen*,Pallidum*,Thalamus*", "Hippocampus*,Amygdala*",
                       "Cerebelum*,Vermis*"},
      .label_names = templates / "aal.nii.txt",
      .downsample = 2};

  const VolumeDataset data = load_volumes(o);

  EXPECT_EQ(data.train.at(0).image.extents, (Extents{45, 108, 90, 1}));
  EXPECT_EQ(data.validation.at(0).labels.extents, (Extents{45, 108, 90}));
  const LabelVolume padded = pad_to(data.train[0].labels, 16);
  EXPECT_EQ(padded.extents, (Extents{48, 112, 96}));
  std::vector<std::int64_t> count(5);
  for (const auto k : padded.voxels) ++count.at(k);
  for (std::size_t k = 1; k < 5; ++k) EXPECT_GT(count[k], 200) << k;
  EXPECT_GT(count[1], count[4]);
}

}  // namespace
}  // namespace hpdlf::train
