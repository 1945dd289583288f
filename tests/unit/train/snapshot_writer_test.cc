// Snapshots written beside the training: whole, in order, and no error is lost.
#include "train/snapshot_writer.hpp"

#include <chrono>
#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "support/message_of.hpp"
#include "support/temp_folder.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::HasSubstr;

constexpr std::int64_t kElements = 50'000;
constexpr int kTensors = 6;

/// Tensors that hold nothing but the step's number.
std::vector<SnapshotTensor> state_of(std::int64_t step) {
  std::vector<SnapshotTensor> tensors;
  for (int i = 0; i < kTensors; ++i) {
    auto values =
        std::make_shared<std::vector<float>>(kElements, static_cast<float>(step * kTensors + i));
    tensors.push_back({"t" + std::to_string(i),
                       {DType::f32, {kElements}},
                       std::as_bytes(std::span(*values)),
                       values});
  }
  return tensors;
}

void expect_state(const Snapshot& snapshot) {
  const auto expected = state_of(snapshot.info.step);
  ASSERT_EQ(snapshot.tensors.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(std::ranges::equal(snapshot.tensors[i].bytes, expected[i].bytes)) << i;
}

TEST(SnapshotWriter, WritesOneAfterTheOtherWhatItWasGiven) {
  const test::TempFolder folder;
  SnapshotStore store(folder.path(), 10);
  {
    SnapshotWriter writer(store);
    for (std::int64_t step = 1; step <= 4; ++step) writer.save({.step = step}, state_of(step));
    writer.finish();
    EXPECT_EQ(store.list().size(), 4U);
    writer.save({.step = 5}, state_of(5));
  }  // the destructor waits

  ASSERT_EQ(store.list().size(), 5U);
  for (const fs::path& path : store.list()) expect_state(load_snapshot(path));
  EXPECT_EQ(load_snapshot(folder.path()).info.step, 5);
}

class FailingWriter : public testing::Test {
 protected:
  /// Makes the next save fail: the place of the chunks is taken by a file.
  void break_folder() {
    fs::remove_all(folder_ / "chunks");
    std::FILE* file = std::fopen((folder_ / "chunks").c_str(), "w");
    ASSERT_NE(file, nullptr);
    std::fclose(file);
  }
  const test::TempFolder folder_;
  SnapshotStore store_{folder_.path(), 3};
};

TEST_F(FailingWriter, TellsTheErrorAtTheEnd) {
  SnapshotWriter writer(store_);
  break_folder();

  writer.save({.step = 7}, state_of(7));

  EXPECT_THAT(message_of([&] { writer.finish(); }), HasSubstr("the snapshot of step 7"));
  EXPECT_EQ(message_of([&] { writer.finish(); }), "no error") << "told once";
}

TEST_F(FailingWriter, TellsTheErrorAtTheNextSaveAndGoesOnAfterwards) {
  SnapshotWriter writer(store_);
  break_folder();
  writer.save({.step = 7}, state_of(7));

  EXPECT_THAT(message_of([&] { writer.save({.step = 8}, state_of(8)); }),
              HasSubstr("the snapshot of step 7"));

  fs::remove(folder_ / "chunks");
  fs::create_directory(folder_ / "chunks");
  writer.save({.step = 9}, state_of(9));
  writer.finish();
  EXPECT_EQ(load_snapshot(folder_.path()).info.step, 9);
}

/// A child process that writes one snapshot, says so, and goes on without waiting for any.
pid_t start_writing(const fs::path& folder, std::int64_t first, int report) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  SnapshotStore store(folder, 2);
  SnapshotWriter writer(store);
  writer.save({.step = first}, state_of(first));
  writer.finish();
  if (::write(report, "s", 1) != 1) ::_exit(1);
  for (std::int64_t step = first + 1;; ++step) writer.save({.step = step}, state_of(step));
}

TEST(SnapshotWriter, LeavesAWholeSnapshotWhenKilledAtAnyMoment) {
  const test::TempFolder folder;
  std::mt19937 random(3);
  std::int64_t last = 0;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  for (int trial = 0; trial < 15; ++trial) {
    const auto start = std::chrono::steady_clock::now();
    const pid_t child = start_writing(folder.path(), last + 1, ends[1]);
    char byte = 0;
    ASSERT_EQ(::read(ends[0], &byte, 1), 1);
    // Some moment of the snapshots that follow, however fast this machine is.
    const auto a_save = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - start);
    std::this_thread::sleep_for(a_save * (random() % 1000) / 1000);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);

    const Snapshot snapshot = load_snapshot(folder.path());
    EXPECT_GT(snapshot.info.step, last);
    expect_state(snapshot);
    last = snapshot.info.step;
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace hpdlf::train
