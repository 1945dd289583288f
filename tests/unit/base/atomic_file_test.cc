// Files are whole or absent, and failures name path, reason and space.
#include "base/atomic_file.hpp"

#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/message_of.hpp"

namespace hpdlf {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::HasSubstr;

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "hpdlf-atomic-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] std::ptrdiff_t files() const {
    return std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
  }
  fs::path folder_;
};

TEST_F(AtomicFileTest, WritesAndReplacesWholeContent) {
  write_file_atomically(folder_ / "a.txt", "first, a longer content");
  write_file_atomically(folder_ / "a.txt", "second");

  EXPECT_EQ(read_text_file(folder_ / "a.txt"), "second");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, LeavesTheOldFileAndNothingElseWithoutCommit) {
  write_file_atomically(folder_ / "a.txt", "old");
  {
    AtomicFile file(folder_ / "a.txt");
    file.write("half of the new");
    EXPECT_EQ(files(), 2);
  }

  EXPECT_EQ(read_text_file(folder_ / "a.txt"), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, StepsOverTheTemporaryFilesOfAKilledProcessOfTheSameId) {
  for (int serial = 0; serial < 100; ++serial)
    std::ofstream(folder_ / fmt::format("{}{}-{}-a.txt", kTemporaryPrefix, ::getpid(), serial))
        << "left behind";

  write_file_atomically(folder_ / "a.txt", "whole");

  EXPECT_EQ(read_text_file(folder_ / "a.txt"), "whole");
}

TEST_F(AtomicFileTest, ReplacesWhatALinkLeadsToAndKeepsTheLink) {
  fs::create_directory(folder_ / "data");
  write_file_atomically(folder_ / "data/a.txt", "old");
  fs::create_symlink("data/a.txt", folder_ / "near");
  fs::create_symlink(folder_ / "near", folder_ / "far");
  fs::create_symlink("data/new.txt", folder_ / "dangling");

  write_file_atomically(folder_ / "far", "new");
  write_file_atomically(folder_ / "dangling", "made");

  for (const char* link : {"near", "far", "dangling"}) EXPECT_TRUE(fs::is_symlink(folder_ / link));
  EXPECT_EQ(read_text_file(folder_ / "data/a.txt"), "new");
  EXPECT_EQ(read_text_file(folder_ / "data/new.txt"), "made");
}

TEST_F(AtomicFileTest, WritesToADeviceOrAPipeAsItIs) {
  write_file_atomically("/dev/null", "gone");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));

  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  write_file_atomically(pipe, "text");
  char text[8] = {};
  EXPECT_EQ(::read(reader, text, sizeof text), 4);
  ::close(reader);
  EXPECT_STREQ(text, "text");
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, WritesToAnOpenFileWhereItStands) {
  const fs::path path = folder_ / "out.txt";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_EQ(::write(fd, "1", 1), 1);

  write_file_atomically(fmt::format("/dev/fd/{}", fd), "2");
  ASSERT_EQ(::write(fd, "3", 1), 1);
  ::close(fd);

  EXPECT_EQ(read_text_file(path), "123") << "as with `-o /dev/stdout >> out.txt`";
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, NamesAFolderThatIsToBeWritten) {
  EXPECT_THAT(message_of([&] { write_file_atomically(folder_, ""); }),
              testing::AllOf(HasSubstr(folder_.string()), HasSubstr("Is a directory")));
  fs::create_symlink("self", folder_ / "self");
  EXPECT_THAT(message_of([&] { write_file_atomically(folder_ / "self" / "x", ""); }),
              HasSubstr("symbolic links"));
}

TEST_F(AtomicFileTest, ReadsBackBytesOfEverySize) {
  for (const std::size_t size : {0U, 1U, 4096U, 100'003U}) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31);
    write_file_atomically(folder_ / "b", bytes);
    EXPECT_EQ(read_file(folder_ / "b"), bytes);
  }
}

TEST_F(AtomicFileTest, NamesPathAndReasonOfAMissingFileAndFolder) {
  EXPECT_THAT(message_of([&] { (void)read_file(folder_ / "none"); }),
              testing::AllOf(HasSubstr((folder_ / "none").string()), HasSubstr("No such file")));
  EXPECT_THAT(message_of([&] { write_file_atomically(folder_ / "no" / "x", ""); }),
              testing::AllOf(HasSubstr("cannot write"), HasSubstr("No such file")));
  EXPECT_THAT(message_of([&] { (void)read_file(folder_); }), HasSubstr("Is a directory"));
  EXPECT_THAT(message_of([&] { make_folders("/dev/null/x"); }), HasSubstr("Not a directory"));
  EXPECT_THAT(message_of([&] { sync_folder(folder_ / "none"); }), HasSubstr("No such file"));
}

TEST_F(AtomicFileTest, KeepsTheOldFileWhenTheSizeLimitIsReached) {
  write_file_atomically(folder_ / "a.bin", "old");
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const rlimit small{4096, old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);

  const std::string message =
      message_of([&] { write_file_atomically(folder_ / "a.bin", std::string(10'000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_action);

  EXPECT_THAT(message, testing::AllOf(HasSubstr("a.bin"), HasSubstr("File too large"),
                                      HasSubstr("MiB free in"), HasSubstr("ulimit -f")));
  EXPECT_EQ(read_text_file(folder_ / "a.bin"), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, KeepsTheOldFileWhenTheDiskIsFull) {
  const fs::path disk = folder_ / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "mounting a small disk needs root; the size limit test covers the same path";
  write_file_atomically(disk / "a.bin", "old");

  const std::string message =
      message_of([&] { write_file_atomically(disk / "a.bin", std::string(200'000, 'x')); });
  const std::string kept = read_text_file(disk / "a.bin");
  const auto left = std::distance(fs::directory_iterator(disk), fs::directory_iterator());
  ::umount(disk.c_str());

  EXPECT_THAT(message, testing::AllOf(HasSubstr("a.bin"), HasSubstr("No space left"),
                                      HasSubstr("MiB free in"), HasSubstr("another disk")));
  EXPECT_EQ(kept, "old");
  EXPECT_EQ(left, 1);
}

}  // namespace
}  // namespace hpdlf
