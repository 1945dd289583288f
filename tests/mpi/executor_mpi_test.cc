// The executor over MPI ranks: every split gives on every rank what the task oracle, run in one process, gives for that rank.
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

#include "graph/op_spec.hpp"
#include "runtime/calibrate.hpp"
#include "runtime/executor.hpp"
#include "support/executor_runs.hpp"
#include "support/hand_task_graph.hpp"
#include "support/message_of.hpp"
#include "unit/partition/small_nets.hpp"

namespace hpdlf::test {
namespace {

using partition::Tile;
using runtime::HostTensor;

/// One session for the program: MPI_Init is possible once.
runtime::Session& session() {
  static runtime::Session s({.cpu_workers = 1});
  return s;
}

class RanksTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(runtime::Session::live_handles(), 0);
    session().barrier();
  }
};

TEST_F(RanksTest, AreThoseOfTheLauncher) {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");

  EXPECT_TRUE(session().has_mpi());
  if (size != nullptr) {
    EXPECT_EQ(session().ranks(), std::atoi(size));
  }
  EXPECT_LT(session().rank(), session().ranks());
}

TEST_F(RanksTest, EqualTheTaskOracleForTheUNet) {
  const auto graph = small_unet(2, 8);
  for (const char* strategy :
       {"whole", "sample", "space", "d:4", "d:2 h:2", "k:2", "c:2", "n:2 d:2 k:2", "auto"})
    expect_run_of_oracle(session(), graph, strategy);
}

TEST_F(RanksTest, EqualTheTaskOracleForTheClassifier) {
  const auto graph = small_classifier(3);
  for (const char* strategy : {"whole", "sample", "h:4", "channel"})
    expect_run_of_oracle(session(), graph, strategy);
}

TEST_F(RanksTest, EqualTheTaskOracleForTheMlp) {
  const auto graph = small_mlp(5);
  for (const char* strategy : {"whole", "sample", "k:2", "tensor"})
    expect_run_of_oracle(session(), graph, strategy);
}

TEST_F(RanksTest, KnowTheLeastOfAll) {
  EXPECT_EQ(session().least(10 - session().rank()), 11 - session().ranks());
  EXPECT_EQ(session().least(-(std::int64_t{1} << 40) + session().rank()), -(std::int64_t{1} << 40));
}

TEST_F(RanksTest, RefuseTaskGraphsThatDiffer) {
  if (session().ranks() == 1) GTEST_SKIP() << "one rank agrees with itself";
  const auto graph = small_mlp(8);
  const bool is_last = session().rank() == session().ranks() - 1;
  const auto tasks = tasks_for(session(), graph, is_last ? "k:2" : "n:2");

  const std::string message = message_of([&] {
    runtime::Executor executor(session(), tasks, partition::CostModel(partition::Machine{}));
  });

  EXPECT_NE(message.find(fmt::format("rank {} and rank 0 made different task graphs",
                                     session().ranks() - 1)),
            std::string::npos)
      << message;
}

TEST_F(RanksTest, AreToldTheTimesThatTheFirstMeasures) {
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / fmt::format("hpdlf_ranks_{}.sqlite", ::getpid());
  const bool is_first = session().rank() == 0;
  const Attrs none;
  graph::OpCall add{&graph::op_registry().at("Add"), &none, {}, {}};
  add.inputs.assign(2, {DType::f32, {4096}});
  add.spec->infer(add);
  const graph::TilingRule rule = graph::tiling_rule(add);
  double mine = 0;
  partition::Machine machine;
  {
    runtime::Calibration calibration(file, 1 + session().rank(), &session());
    machine = calibration.machine(session().ranks());
    mine = calibration.seconds(partition::kernel_call(add, rule, rule.iteration_space())).value();
  }

  const auto bits = std::bit_cast<std::uint64_t>(mine);
  for (unsigned i = 0; i < 64; ++i) {
    const bool is_set = ((bits >> i) & 1) != 0;
    EXPECT_EQ(session().any(is_set), is_set) << "bit " << i << " differs between ranks";
  }
  EXPECT_GT(mine, 0);
  EXPECT_EQ(machine.workers, 1) << "as the rank that has the fewest";
  EXPECT_EQ(session().least(machine.memory_bytes), machine.memory_bytes) << "differs between ranks";
  EXPECT_EQ(std::filesystem::exists(file), is_first) << "only the first rank keeps them";
  std::filesystem::remove(file);
}

TEST_F(RanksTest, AreGivenWhatTheFirstMakes) {
  const int rank = session().rank();
  int calls = 0;

  const std::string text = runtime::Session::from_first_rank([&] {
    ++calls;
    return fmt::format("made by {}", rank);
  });

  EXPECT_EQ(text, "made by 0");
  EXPECT_EQ(calls, rank == 0 ? 1 : 0);
  EXPECT_EQ(runtime::Session::from_first_rank([] { return std::string(); }), "");
}

TEST_F(RanksTest, AllFailWhereTheFirstDoes) {
  const auto fail = []() -> std::string { throw Error("the first failed", "help it"); };

  EXPECT_EQ(message_of([&] { (void)runtime::Session::from_first_rank(fail); }),
            "the first failed\n  hint: help it");
}

/// A parameter in one tile a rank; each step adds the tile of the rank before (a ring of transfers).
struct Ring {
  int ranks = session().ranks();
  graph::TensorType type{DType::f32, {ranks}};
  std::shared_ptr<graph::Graph> graph = std::make_shared<graph::Graph>("ring");
  graph::ValueId p = graph->add_parameter("p", type, {});
  std::shared_ptr<const partition::TaskGraph> tasks;

  Ring() {
    HandTaskGraph hand(graph, ranks);
    std::vector<partition::TileId> own;
    std::vector<partition::TileId> before;
    const auto box = [](int r) { return Box{{r}, {r + 1}}; };
    for (int r = 0; r < ranks; ++r) own.push_back(hand.tile(p, box(r), Tile::Role::parameter, r));
    for (int r = 0; r < ranks; ++r)
      before.push_back(hand.tile(p, box((r + ranks - 1) % ranks), Tile::Role::copy, r));
    for (int r = 0; r < ranks; ++r) {
      const auto from = own[static_cast<std::size_t>((r + ranks - 1) % ranks)];
      if (ranks > 1)
        hand.transfer(from, before[static_cast<std::size_t>(r)]);
      else
        hand.task("Copy", {from}, {before[0]});
    }
    for (std::size_t r = 0; r < own.size(); ++r) hand.task("Sum", {own[r], before[r]}, {own[r]});
    tasks = hand.finish();
  }
};

TEST_F(RanksTest, PassTilesAroundForManyStepsInOrder) {
  const Ring ring;
  runtime::Executor executor(session(), ring.tasks, partition::CostModel(partition::Machine{}));
  HostTensor content(ring.type);
  content.as<float>()[0] = 1;
  executor.write(ring.p, content);
  std::vector<float> expected(content.as<float>().begin(), content.as<float>().end());

  for (int step = 0; step < 20; ++step) {
    executor.submit({});
    const auto old = expected;
    for (std::size_t r = 0; r < old.size(); ++r)
      expected[r] += old[(r + old.size() - 1) % old.size()];
  }
  const auto result = executor.read(ring.p);

  for (std::size_t r = 0; r < expected.size(); ++r)
    EXPECT_EQ(result->as<float>()[r], expected[r]) << "tile " << r;
}

TEST_F(RanksTest, GatherAParameterToTheRankThatAsks) {
  const Ring ring;
  runtime::Executor executor(session(), ring.tasks, partition::CostModel(partition::Machine{}));
  HostTensor content(ring.type);
  for (int r = 0; r < ring.ranks; ++r)
    content.as<float>()[static_cast<std::size_t>(r)] = static_cast<float>(r) - 0.5F;
  executor.write(ring.p, content);
  const int last = ring.ranks - 1;

  const auto result = executor.read(ring.p, last);

  ASSERT_EQ(result != nullptr, session().rank() == last);
  if (result) {
    EXPECT_EQ(result->data, content.data);
  }
}

}  // namespace
}  // namespace hpdlf::test
