// The folder of a run: names, what a failed start leaves, and one process at a time.
#include "apps/unet3d/run_folder.hpp"

#include <gmock/gmock.h>
#include <optional>

#include "support/message_of.hpp"
#include "support/temp_folder.hpp"

namespace hpdlf::apps {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class RunFolderTest : public testing::Test {
 protected:
  UNet3dAppOptions named(const std::string& name) const {
    UNet3dAppOptions options;
    options.run_name = name;
    options.run_folder = runs.string();
    return options;
  }
  test::TempFolder folder;
  fs::path runs = folder / "all" / "runs";
};

TEST_F(RunFolderTest, IsItsOwnForRunsThatStartInTheSameSecond) {
  const RunFolder one(named(""));
  const RunFolder two(named(""));
  const RunFolder three(named(""));

  EXPECT_THAT(one.path().filename().string(), StartsWith("unet3d-2"));
  EXPECT_NE(one.path(), two.path());
  EXPECT_NE(two.path(), three.path());
  for (const RunFolder* run : {&one, &two, &three}) EXPECT_TRUE(fs::is_directory(run->path()));
}

TEST_F(RunFolderTest, IsGoneAgainWithItsParentsIfNothingCameOfIt) {
  for (const char* name : {"", "a/b"}) {
    { const RunFolder run(named(name)); }
    EXPECT_TRUE(fs::is_empty(folder.path())) << name;
  }

  fs::create_directories(runs);
  { const RunFolder run(named("")); }
  EXPECT_TRUE(fs::is_empty(runs)) << "was there before";
}

TEST_F(RunFolderTest, StaysOnceTheRunBegan) {
  {
    RunFolder run(named("begun"));
    run.lock();
  }
  EXPECT_THAT(message_of([&] { const RunFolder again(named("begun")); }),
              AllOf(HasSubstr("begun already holds a run"), HasSubstr("--resume")));
}

TEST_F(RunFolderTest, IsLockedFromTheStartWhereARunGoesOn) {
  fs::path snapshot;
  {
    RunFolder run(named("stopped/"));
    snapshot = run.lock().save({.network = "net", .step = 3}, {});
  }
  const UNet3dAppOptions options = named("");

  for (const fs::path& path : {runs / "stopped", runs / "stopped" / "", snapshot, snapshot / ""}) {
    const RunFolder run(options, path);
    EXPECT_EQ(run.path(), runs / "stopped") << path;
    EXPECT_EQ(run.path().filename(), "stopped") << path;
    EXPECT_THAT(message_of([&] { const RunFolder second(options, path); }),
                HasSubstr("another process is writing"));
  }
  fs::rename(runs / "stopped" / "snapshots", runs / "copies");
  EXPECT_THAT(message_of([&] { const RunFolder run(options, runs / "copies"); }),
              HasSubstr("is in no run"));
}

}  // namespace
}  // namespace hpdlf::apps
