// Event files are read back by an independent reader of TFRecords and protobuf, and by TensorBoard where it is installed.
#include "train/tensorboard.hpp"

#include <cstdlib>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <unistd.h>
#include <vector>

#include "base/atomic_file.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;

template <class T>
T fixed(std::string_view& data) {
  T value{};
  std::memcpy(&value, data.data(), sizeof value);
  data.remove_prefix(sizeof value);
  return value;
}

std::uint64_t varint(std::string_view& data) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(data.front());
    data.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

/// Field number -> contents, for any message of the few wire types used.
std::multimap<unsigned, std::string> fields_of(std::string_view message) {
  std::multimap<unsigned, std::string> fields;
  while (!message.empty()) {
    const auto tag = varint(message);
    std::size_t size = 0;
    if ((tag & 7) == 0) {
      fields.emplace(tag >> 3, std::to_string(varint(message)));
      continue;
    }
    if ((tag & 7) == 1) size = 8;
    if ((tag & 7) == 5) size = 4;
    if ((tag & 7) == 2) size = varint(message);
    fields.emplace(tag >> 3, message.substr(0, size));
    message.remove_prefix(size);
  }
  return fields;
}

std::vector<std::string> records_of(const std::string& text) {
  std::vector<std::string> records;
  for (std::string_view data = text; !data.empty();) {
    const std::string_view length_bytes = data.substr(0, 8);
    const auto length = fixed<std::uint64_t>(data);
    EXPECT_EQ(fixed<std::uint32_t>(data), masked_crc32c(length_bytes));
    records.emplace_back(data.substr(0, length));
    data.remove_prefix(length);
    EXPECT_EQ(fixed<std::uint32_t>(data), masked_crc32c(records.back()));
  }
  return records;
}

class TensorBoardTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "hpdlf-events-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST(Crc32c, MatchesRfc3720) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
}

TEST_F(TensorBoardTest, WritesScalarsThatReadBack) {
  TensorBoardWriter writer(folder_);
  const std::vector<TensorBoardWriter::Scalar> scalars = {{"train/loss", 1.25},
                                                          {"dice/deep grey", 0.5}};
  writer.add(300, scalars);

  const fs::path file = fs::directory_iterator(folder_)->path();
  const auto records =
      records_of(read_text_file(file));  // while the writer lives: nothing is held back

  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(fields_of(records[0]).find(3)->second, "brain.Event:2");
  const auto event = fields_of(records[1]);
  EXPECT_EQ(event.find(2)->second, "300");
  std::vector<std::pair<std::string, float>> read;
  for (const auto& [number, value] : fields_of(event.find(5)->second)) {
    EXPECT_EQ(number, 1U);
    const auto entry = fields_of(value);
    std::string_view bits = entry.find(2)->second;
    read.emplace_back(entry.find(1)->second, fixed<float>(bits));
  }
  EXPECT_THAT(read, testing::ElementsAre(std::pair("train/loss", 1.25F),
                                         std::pair("dice/deep grey", 0.5F)));
  EXPECT_THAT(file.filename().string(), testing::StartsWith("events.out.tfevents."));
}

TEST_F(TensorBoardTest, MarksWhereAResumedRunGoesOn) {
  TensorBoardWriter(folder_, 0);
  TensorBoardWriter(folder_, 100);  // within the same second: another file nevertheless

  std::vector<fs::path> files(fs::directory_iterator(folder_), {});
  std::sort(files.begin(), files.end());
  ASSERT_EQ(files.size(), 2U);
  const auto records = records_of(read_text_file(files[1]));
  ASSERT_EQ(records.size(), 2U);
  const auto event = fields_of(records[1]);
  EXPECT_EQ(event.find(2)->second, "100");
  EXPECT_EQ(fields_of(event.find(7)->second).find(1)->second, "1");  // SessionLog::START
}

TEST_F(TensorBoardTest, IsReadByTensorBoardItself) {
  if (std::system("python3 -c 'import tensorboard' >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "python3 has no tensorboard; the reader above covers the format";
  TensorBoardWriter writer(folder_);
  const std::vector<TensorBoardWriter::Scalar> scalars = {{"train/loss", 1.25}};
  writer.add(7, scalars);

  const std::string script =
      "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator as E\n"
      "import sys\n"
      "e = E(sys.argv[1]); e.Reload(); s = e.Scalars(\"train/loss\")\n"
      "assert [(p.step, p.value) for p in s] == [(7, 1.25)], s\n";
  write_file_atomically(folder_ / "check.py", script);

  EXPECT_EQ(
      std::system(("python3 " + (folder_ / "check.py").string() + " " + folder_.string()).c_str()),
      0);
}

TEST_F(TensorBoardTest, NamesTheFileThatCannotBeWritten) {
  EXPECT_THROW(TensorBoardWriter("/dev/null/x"), Error);
}

}  // namespace
}  // namespace hpdlf::train
