#include <gmock/gmock.h>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

Cost no_cost(const OpCall& call) { return streaming_cost(call, 0); }

OpSpec example() {
  return {.name = "Example",
          .doc = "An operator for tests.",
          .inputs = {{"x", "anything"}},
          .outputs = {{"y", "like x"}},
          .attrs = {{"alpha", 0.5, "a float"},
                    {"axis", std::int64_t{-1}, "an integer"},
                    {"shape", std::vector<std::int64_t>{}, "a list", true}},
          .rule = "... -> ...",
          .infer = same_as_first_input,
          .cost = no_cost};
}

TEST(OpRegistry, KeepsOrderOfRegistration) {
  OpRegistry registry;
  OpSpec second = example();
  second.name = "Another";

  registry.add(example());
  registry.add(second);

  ASSERT_EQ(registry.all().size(), 2U);
  EXPECT_EQ(registry.all()[0]->name, "Example");
  EXPECT_EQ(registry.all()[1]->name, "Another");
}

TEST(OpRegistry, RejectsTwoOfOneNameAndIncompleteSpecs) {
  OpRegistry registry;
  registry.add(example());
  OpSpec no_rule = example();
  no_rule.name = "NoRule";
  no_rule.rule.clear();

  EXPECT_THROW(registry.add(example()), InternalError);
  EXPECT_THROW(registry.add(no_rule), InternalError);
}

TEST(OpRegistry, NamesTheNearestOperator) {
  OpRegistry registry;
  registry.add(example());

  EXPECT_THAT([&] { (void)registry.at("Exmaple"); },
              ThrowsMessage<Error>(HasSubstr("did you mean `Example`?")));
  EXPECT_EQ(registry.find("Exmaple"), nullptr);
}

TEST(CompleteAttrs, FillsDefaults) {
  const Attrs attrs = complete_attrs(example(), {{"shape", std::vector<std::int64_t>{2}}});

  EXPECT_EQ(
      attrs,
      (Attrs{{"alpha", 0.5}, {"axis", std::int64_t{-1}}, {"shape", std::vector<std::int64_t>{2}}}));
}

TEST(CompleteAttrs, TakesIntegersForFloats) {
  const Attrs attrs = complete_attrs(
      example(), {{"alpha", std::int64_t{2}}, {"shape", std::vector<std::int64_t>{}}});

  EXPECT_EQ(attrs.values().at("alpha"), AttrValue(2.0));
}

TEST(CompleteAttrs, NamesUnknownWrongAndMissingAttributes) {
  const std::vector<std::int64_t> shape;

  EXPECT_THAT(
      [&] {
        (void)complete_attrs(example(), {{"shape", shape}, {"aplha", 1.0}});
      },
      ThrowsMessage<Error>(HasSubstr("no attribute `aplha`; did you mean `alpha`?")));
  EXPECT_THAT(
      [&] {
        (void)complete_attrs(example(), {{"shape", shape}, {"axis", 1.5}});
      },
      ThrowsMessage<Error>(HasSubstr("`axis` of Example must be an integer, not a float (1.5)")));
  EXPECT_THAT([&] { (void)complete_attrs(example(), {}); },
              ThrowsMessage<Error>(HasSubstr("Example needs attribute `shape`: a list")));
}

TEST(StreamingCost, ReadsAndWritesEveryOperandOnce) {
  OpCall call;
  call.inputs = {{DType::f32, {4, 6}}, {DType::f64, {2}}};
  call.outputs = {{DType::bf16, {4, 6}}};

  const Cost cost = streaming_cost(call, 3);

  EXPECT_EQ(cost.flops, 72);
  EXPECT_EQ(cost.bytes_read, 112);
  EXPECT_EQ(cost.bytes_written, 48);
}

TEST(UsualLetters, EndWithTheChannel) {
  EXPECT_EQ(usual_letters(5), "n d h w c");
  EXPECT_EQ(usual_letters(1), "c");
  EXPECT_EQ(usual_letters(0), "");
}

}  // namespace
}  // namespace hpdlf::graph
