// Snapshots survive kill -9, full disks and bit rot, or say what is lost and which one is whole.
#include "train/snapshot_store.hpp"

#include <chrono>
#include <cmath>
#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/atomic_file.hpp"
#include "support/message_of.hpp"
#include "train/sha256.hpp"

namespace hpdlf::train {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

constexpr double kScalar = 3.25;

/// A tensor whose bytes follow from `seed`.
SnapshotTensor make_tensor(const std::string& name, std::int64_t elements, std::uint32_t seed) {
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(4 * elements));
  std::mt19937 random(seed);
  for (std::byte& b : *bytes) b = static_cast<std::byte>(random());
  return {name, {DType::f32, {elements}}, *bytes, bytes};
}

/// The state of a small network after `step` updates: one tensor never changes, as frozen ones do.
std::vector<SnapshotTensor> make_state(std::int64_t step) {
  const auto seed = static_cast<std::uint32_t>(step);
  return {make_tensor("frozen", 500, 1),
          make_tensor("weight", 3000, 2 * seed + 2),
          make_tensor("moment", 3000, 2 * seed + 3),
          {"scalar", {DType::f64, {}}, std::as_bytes(std::span(&kScalar, 1)), nullptr},
          {"empty", {DType::i8, {0}}, {}, nullptr}};
}
SnapshotInfo make_info(std::int64_t step) {
  return {.network = "unet3d \"16-32\"",
          .step = step,
          .config_hash = "abc",
          .loader_position = "{\"epoch\": 3}",
          .random_state = "seed 7\nline 2",
          .metrics = {{"dice", 0.75},
                      {"loss", std::numeric_limits<double>::infinity()},
                      {"none", std::nan("")}}};
}

void expect_state(const Snapshot& snapshot, std::int64_t step) {
  const auto expected = make_state(step);
  ASSERT_EQ(snapshot.tensors.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(snapshot.tensors[i].name, expected[i].name);
    EXPECT_EQ(snapshot.tensors[i].type, expected[i].type);
    EXPECT_TRUE(std::ranges::equal(snapshot.tensors[i].bytes, expected[i].bytes))
        << expected[i].name;
  }
}

class SnapshotStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "hpdlf-snapshots-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    run_ = pattern;
    folder_ = run_ / "snapshots";
  }
  void TearDown() override { fs::remove_all(run_); }
  fs::path save(std::int64_t step, int keep_last = 3) {
    return SnapshotStore(folder_, keep_last).save(make_info(step), make_state(step));
  }
  [[nodiscard]] std::vector<fs::path> chunks() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_ / "chunks"))
      found.push_back(entry.path());
    return found;
  }
  fs::path run_, folder_;
};

TEST_F(SnapshotStoreTest, LoadsWhatWasSaved) {
  const fs::path saved = save(200);

  const Snapshot snapshot = load_snapshot(run_);

  EXPECT_EQ(snapshot.folder, saved);
  EXPECT_EQ(snapshot.info.network, make_info(200).network);
  EXPECT_EQ(snapshot.info.step, 200);
  EXPECT_EQ(snapshot.info.config_hash, "abc");
  EXPECT_EQ(snapshot.info.loader_position, "{\"epoch\": 3}");
  EXPECT_EQ(snapshot.info.random_state, "seed 7\nline 2");
  EXPECT_EQ(snapshot.info.metrics.at("dice"), 0.75);
  EXPECT_TRUE(std::isinf(snapshot.info.metrics.at("loss")));
  EXPECT_TRUE(std::isnan(snapshot.info.metrics.at("none")));
  expect_state(snapshot, 200);
}

TEST_F(SnapshotStoreTest, IsFoundByRunSnapshotsFolderSnapshotAndManifest) {
  save(100);
  const fs::path newest =
      save(50);  // a run that went back to an earlier step: last written counts, not the step

  for (const fs::path& path :
       {run_, run_ / "", folder_, newest, newest / "", newest / "manifest.json"})
    EXPECT_EQ(find_snapshot(path), newest) << path;
}

TEST_F(SnapshotStoreTest, SaysWhereNoSnapshotIs) {
  EXPECT_THAT(message_of([&] { (void)find_snapshot(run_ / "none"); }),
              HasSubstr("there is no such folder"));
  EXPECT_THAT(message_of([&] { (void)find_snapshot(run_); }),
              HasSubstr("no snapshot in " + run_.string()));
}

TEST_F(SnapshotStoreTest, KeepsTheLastAndRemovesContentsThatNothingNeeds) {
  for (int step = 1; step <= 5; ++step) save(step, 2);

  EXPECT_EQ(SnapshotStore(folder_, 2).list().size(), 2U);
  EXPECT_EQ(chunks().size(),
            2U + 2U * 2U);  // frozen and scalar once; weight and moment of steps 4 and 5
  expect_state(load_snapshot(folder_ / "000004-step-4"), 4);
  expect_state(load_snapshot(folder_ / "000005-step-5"), 5);
}

TEST_F(SnapshotStoreTest, RemovesWhatKilledProcessesLeft) {
  save(1);
  write_file_atomically(folder_ / "chunks" / ".partial-1-2-abc", "torn");
  make_folders(folder_ / ".partial-000002-step-2");
  write_file_atomically(folder_ / ".partial-000002-step-2" / "manifest.json", "{}");
  write_file_atomically(folder_ / "chunks" / std::string(64, 'a'), "of a snapshot never finished");
  const auto before = chunks().size();

  SnapshotStore(folder_, 3).collect_garbage();

  EXPECT_EQ(chunks().size(), before - 2);
  EXPECT_FALSE(fs::exists(folder_ / ".partial-000002-step-2"));
  expect_state(load_snapshot(run_), 1);
}

TEST_F(SnapshotStoreTest, KeepsAllContentsWhileAManifestIsDamaged) {
  save(1);
  const fs::path second = save(2);
  write_file_atomically(second / "manifest.json", "{}");

  save(3, 2);  // forgets step 1, but may not guess what step 2 needs

  EXPECT_EQ(chunks().size(), 2U + 3U * 2U);
  expect_state(load_snapshot(run_), 3);
}

TEST_F(SnapshotStoreTest, RefusesASecondWriter) {
  const SnapshotStore first(folder_, 1);

  EXPECT_THAT(message_of([&] { SnapshotStore second(folder_, 1); }),
              AllOf(HasSubstr("another process"), HasSubstr(folder_.string())));
}

TEST_F(SnapshotStoreTest, CutsLargeTensorsAndJoinsThem) {
  const std::vector<SnapshotTensor> large = {make_tensor("large", (std::int64_t{65} << 20) / 4, 9)};
  SnapshotStore(folder_, 1).save(make_info(1), large);

  const Snapshot snapshot = load_snapshot(run_);

  EXPECT_EQ(chunks().size(), 2U);
  EXPECT_TRUE(std::ranges::equal(snapshot.tensor("large").bytes, large[0].bytes));
}

TEST_F(SnapshotStoreTest, NoticesEveryFlippedBitAndNamesTheWholeSnapshot) {
  const fs::path whole = save(1);
  const fs::path damaged = save(2);
  std::mt19937 random(5);
  std::vector<fs::path> files = {damaged / "manifest.json", damaged / "manifest.sha256"};
  for (const fs::path& chunk : chunks())
    if (!std::ranges::any_of(load_snapshot(whole).tensors,
                             [&](const auto& t) {  // not those both snapshots share
                               return std::ranges::equal(t.bytes, read_file(chunk));
                             }))
      files.push_back(chunk);
  ASSERT_EQ(files.size(), 4U);

  for (const fs::path& file : files)
    for (int trial = 0; trial < 40; ++trial) {
      const auto original = read_file(file);
      auto flipped = original;
      flipped[random() % flipped.size()] ^= static_cast<std::byte>(1U << (random() % 8));
      write_file_atomically(file, flipped);
      const std::string message = message_of([&] { (void)load_snapshot(damaged); });
      write_file_atomically(file, original);

      EXPECT_THAT(message, AllOf(HasSubstr("damaged"), HasSubstr(file.parent_path().string()),
                                 HasSubstr("hint: " + whole.string() + " is whole")));
    }
  expect_state(load_snapshot(damaged), 2);
}

TEST_F(SnapshotStoreTest, NamesTensorOfATruncatedOrMissingContent) {
  save(1);
  const auto state = make_state(1);
  for (const fs::path& chunk : chunks()) {
    const auto original = read_file(chunk);
    if (!std::ranges::equal(original, state[1].bytes)) continue;
    fs::resize_file(chunk, original.size() / 2);
    EXPECT_THAT(message_of([&] { (void)load_snapshot(run_); }),
                AllOf(HasSubstr(chunk.string() + " is truncated: it has 6000 bytes of 12000"),
                      HasSubstr("tensor weight"), HasSubstr("no other snapshot"),
                      HasSubstr("reading snapshot")));
    fs::remove(chunk);
    EXPECT_THAT(message_of([&] { (void)load_snapshot(run_); }),
                AllOf(HasSubstr("No such file"), HasSubstr("tensor weight")));
  }
}

TEST_F(SnapshotStoreTest, DoesNotReuseADamagedContent) {
  save(1);
  for (const fs::path& chunk : chunks()) {
    auto bytes = read_file(chunk);
    bytes[0] ^= std::byte{1};
    write_file_atomically(chunk, bytes);
  }

  save(1);

  expect_state(load_snapshot(run_), 1);
}

/// A network that keeps the given tensors, on inputs of `batch` samples.
graph::Graph network(const std::vector<std::pair<std::string, graph::TensorType>>& kept,
                     std::int64_t batch = 1) {
  graph::Graph g;
  (void)g.add_input("x", {DType::f32, {batch, 8}});
  for (const auto& [name, type] : kept) {
    if (name == "moment")
      (void)g.add_state(name, type, {});
    else
      (void)g.add_parameter(name, type, {});
  }
  return g;
}

TEST_F(SnapshotStoreTest, FitsTheNetworkOfTheSameParametersWhateverItsInput) {
  save(1);
  const Snapshot snapshot = load_snapshot(run_);
  const graph::TensorType weight{DType::f32, {3000}};

  for (const std::int64_t batch : {1, 5})
    EXPECT_NO_THROW(
        check_network(snapshot, network({{"weight", weight}, {"moment", weight}}, batch), "same"));
  EXPECT_NO_THROW(check_network(snapshot, network({{"weight", weight}}), "inference"))
      << "what only training needs may be left over";
}

TEST_F(SnapshotStoreTest, NamesBothNetworksAndTheFirstParameterThatDiffers) {
  save(1);
  const Snapshot snapshot = load_snapshot(run_);
  const graph::TensorType frozen{DType::f32, {500}}, weight{DType::f32, {3000}};
  const auto message_for = [&](const graph::Graph& g) {
    return message_of([&] { check_network(snapshot, g, "unet3d 32-64"); });
  };

  EXPECT_THAT(message_for(network(
                  {{"frozen", frozen}, {"weight", {DType::f32, {3000, 1}}}, {"no", weight}})),
              AllOf(HasSubstr("unet3d \"16-32\""), HasSubstr("unet3d 32-64"),
                    HasSubstr("parameter \"weight\" is f32[3000], but f32[3000,1] is expected"),
                    HasSubstr("patch and batch may differ")));
  EXPECT_THAT(message_for(network({{"weight", {DType::f64, {3000}}}})),
              HasSubstr("is f32[3000], but f64[3000]"));
  EXPECT_THAT(message_for(network({{"weight", weight}, {"bias", {DType::f32, {4}}}})),
              HasSubstr("parameter \"bias\" is missing, but f32[4] is expected"));
  EXPECT_THAT(message_for(network({{"weight", weight}, {"moment", frozen}})),
              HasSubstr("state \"moment\" is f32[3000], but f32[500]"));
}

TEST_F(SnapshotStoreTest, ListsItsTensorsWhenAskedForAnother) {
  save(1);

  EXPECT_THAT(message_of([&] { (void)load_snapshot(run_).tensor("wieght"); }),
              AllOf(HasSubstr("`wieght`"), HasSubstr("weight, moment")));
}

TEST_F(SnapshotStoreTest, SaysWhatIsWrongWithAManifestOfAnotherProgram) {
  const fs::path folder = save(1);
  const std::string text = read_text_file(folder / "manifest.json");
  // Under a right checksum: not bit rot but another version or another hand.
  const auto message_with = [&](const std::string& from, const std::string& to) {
    std::string forged = text;
    const auto at = forged.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    write_file_atomically(folder / "manifest.json", forged.replace(at, from.size(), to));
    write_file_atomically(folder / "manifest.sha256",
                          sha256(std::as_bytes(std::span(forged))) + "  manifest.json\n");
    return message_of([&] { (void)load_snapshot(folder); });
  };

  EXPECT_THAT(message_with("\"version\": 1", "\"version\": 9"), HasSubstr("it has version 9"));
  EXPECT_THAT(message_with("hpdlf-snapshot", "tar"), HasSubstr("no snapshot of HP-DLF"));
  EXPECT_THAT(message_with("\"step\"", "\"stepp\""), HasSubstr("cannot be understood"));
  EXPECT_THAT(message_with("{", "["), HasSubstr("cannot be understood"));
  EXPECT_THAT(message_with("\"f32\"", "\"f33\""), HasSubstr("unknown element type `f33`"));
  EXPECT_THAT(message_with("500\n", "-500\n"), HasSubstr("impossible extents"));
  EXPECT_THAT(message_with("500\n", "9000000000000000000, 4\n"), HasSubstr("impossible extents"));
  EXPECT_THAT(message_with("500\n", "501\n"), HasSubstr("f32[501] but its chunks hold 2000 bytes"));
  EXPECT_THAT(message_with("\"sha256\": \"", "\"sha256\": \"../"),
              HasSubstr("names the chunk `../"));
}

TEST_F(SnapshotStoreTest, KeepsEarlierSnapshotsAndGivesSpaceBackWhenTheDiskIsFull) {
  save(1);
  const auto before = chunks().size();
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const rlimit small{8000, old_limit.rlim_max};  // `weight` and `moment` have 12,000 bytes
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);

  const std::string message = message_of([&] { save(2); });
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_action);

  EXPECT_THAT(message, AllOf(HasSubstr("File too large"),
                             HasSubstr("snapshot of step 2; earlier snapshots are kept")));
  EXPECT_EQ(chunks().size(), before);
  expect_state(load_snapshot(run_), 1);
}

/// A child process that saves step after step, on from `first`, and says so on a pipe after each.
struct SavingChild {
  pid_t pid = -1;
  int reports = -1;

  SavingChild(const fs::path& folder, std::int64_t first) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    pid = ::fork();
    if (pid == 0) {
      SnapshotStore store(folder, 2);
      for (std::int64_t step = first;; ++step) {
        store.save(make_info(step), make_state(step));
        if (::write(ends[1], "s", 1) != 1) ::_exit(1);
      }
    }
    ::close(ends[1]);
    reports = ends[0];
  }
  void wait_for_a_save() const {
    char byte = 0;
    EXPECT_EQ(::read(reports, &byte, 1), 1);
  }
  void kill() const {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    ::close(reports);
  }
};

TEST_F(SnapshotStoreTest, IsLoadableAfterKillAtAnyMoment) {
  using Clock = std::chrono::steady_clock;
  std::mt19937 random(11);
  std::int64_t last_seen = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const auto start = Clock::now();
    const SavingChild child(folder_, last_seen + 1);
    child.wait_for_a_save();
    // Some moment of the saves that follow, however fast this machine is.
    const auto a_save = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
    std::this_thread::sleep_for(a_save * (random() % 1000) / 1000);
    child.kill();

    const Snapshot snapshot = load_snapshot(run_);
    EXPECT_GT(snapshot.info.step, last_seen);
    expect_state(snapshot, snapshot.info.step);
    last_seen = snapshot.info.step;
  }
}

}  // namespace
}  // namespace hpdlf::train
