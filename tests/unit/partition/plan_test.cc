#include "partition/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partition/planner.hpp"
#include "small_nets.hpp"

namespace hpdlf::partition {
namespace {

Plan sample_plan(const std::shared_ptr<const graph::Graph>& graph) {
  Machine machine;
  machine.name = "test machine";
  machine.ranks = 2;
  machine.workers = 2;
  return make_plan(graph, CostModel(machine), {.strategy = "d:4"});
}

std::string error_of(const std::string& text, const graph::Graph& graph) {
  try {
    (void)plan_from_json(text, graph);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(PlanJson, IsReadBackAsWritten) {
  const auto graph = test::small_unet(2, 8);
  const Plan plan = sample_plan(graph);

  const Plan read = plan_from_json(to_json(plan, *graph), *graph);

  EXPECT_EQ(to_json(read, *graph), to_json(plan, *graph));
  EXPECT_EQ(read.machine, "test machine");
  EXPECT_EQ(read.reason, plan.reason);
  ASSERT_EQ(read.nodes.size(), plan.nodes.size());
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    EXPECT_EQ(read.nodes[n].parts, plan.nodes[n].parts);
    EXPECT_EQ(read.nodes[n].owners, plan.nodes[n].owners);
  }
}

TEST(PlanJson, HasALineANodeThatNamesOnlyWhatIsCut) {
  const auto graph = test::small_unet(2, 8);

  const std::string text = to_json(sample_plan(graph), *graph);

  EXPECT_THAT(text, testing::HasSubstr(
                        R"({"name":"conv0","op":"Conv","parts":{"d":4},"owners":[0,0,1,1]})"));
}

TEST(PlanJson, OfAnotherGraphNamesBothFingerprints) {
  const auto graph = test::small_unet(2, 8);
  const auto other = test::small_unet(1, 8);
  const Plan plan = sample_plan(graph);

  const std::string error = error_of(to_json(plan, *graph), *other);

  EXPECT_THAT(error,
              testing::HasSubstr("the plan is for another graph: " + plan.graph_fingerprint));
  EXPECT_THAT(error, testing::HasSubstr(fmt::format("{:016x}", other->fingerprint())));
}

TEST(PlanJson, ThatIsNoneIsAnError) {
  const auto graph = test::small_mlp(2);
  const std::string good = to_json(sample_plan(test::small_unet(2, 8)), *test::small_unet(2, 8));

  EXPECT_THAT(error_of("", *graph), testing::HasSubstr("the text is no plan"));
  EXPECT_THAT(error_of("[1, 2]", *graph), testing::HasSubstr("the text is no plan"));
  EXPECT_THAT(error_of(good.substr(0, good.size() / 2), *graph),
              testing::HasSubstr("the text is no plan"));
  EXPECT_THAT(error_of(R"({"format": "hpdlf-plan", "version": 1})", *graph),
              testing::HasSubstr("fingerprint"));
  EXPECT_THAT(error_of(replaced(good, "\"version\": 1", "\"version\": 9"), *graph),
              testing::HasSubstr("version 9"));
}

TEST(PlanJson, WithAnUnknownFactorNamesNodeAndFactor) {
  const auto graph = test::small_unet(2, 8);
  const std::string text = to_json(sample_plan(graph), *graph);

  EXPECT_THAT(error_of(replaced(text, R"("parts":{"d":4})", R"("parts":{"z":4})"), *graph),
              testing::HasSubstr("has no factor \"z\""));
}

TEST(PlanJson, WithCountsThatAreNoneNamesThem) {
  const auto graph = test::small_unet(2, 8);
  const std::string text = to_json(sample_plan(graph), *graph);
  const auto error_with = [&](const std::string& from, const std::string& to) {
    return error_of(replaced(text, from, to), *graph);
  };
  const std::string must = "; it must be a whole number, 1 or more";

  EXPECT_THAT(error_with("\"workers\": 2", "\"workers\": 0"),
              testing::HasSubstr("\"workers\" is 0" + must));
  EXPECT_THAT(error_with("\"workers\": 2", "\"workers\": 4294967297"),
              testing::HasSubstr("\"workers\" is 4294967297" + must));
  EXPECT_THAT(error_with("\"ranks\": 2", "\"ranks\": -1"),
              testing::HasSubstr("\"ranks\" is -1" + must));
  EXPECT_THAT(error_with("\"ranks\": 2", "\"ranks\": 1.5"),
              testing::HasSubstr("\"ranks\" is 1.5" + must));
  EXPECT_THAT(
      error_with(R"("parts":{"d":4})", R"("parts":{"d":-4})"),
      testing::HasSubstr("the number of parts of factor d of node \"conv0\" (Conv) is -4" + must));
  EXPECT_THAT(error_with(R"("parts":{"d":4})", R"("parts":{"d":2000000000})"),
              testing::HasSubstr("factor d of node \"conv0\" (Conv) into 2000000000 parts, but its "
                                 "extent is 8"));
  EXPECT_THAT(error_with(R"("parts":{"d":4})", R"("parts":{"r":2})"),
              testing::HasSubstr("it must stay whole"));
}

}  // namespace
}  // namespace hpdlf::partition
