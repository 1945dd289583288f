#include "base/error.hpp"

#include <gmock/gmock.h>

namespace hpdlf {
namespace {

using testing::HasSubstr;

TEST(Error, ShowsMessageContextAndHintInThisOrder) {
  Error error("no such file a.nii", "check [data] in the configuration");

  error.add_context("loading sample 3");

  EXPECT_STREQ(
      error.what(),
      "no such file a.nii\n  while loading sample 3\n  hint: check [data] in the configuration");
}

TEST(Check, FormatsValuesIntoTheMessage) {
  const int width = 3;
  const auto check = [&] { HPDLF_CHECK(width == 4, "width is {}, not 4", width); };

  EXPECT_THAT(check, testing::ThrowsMessage<Error>(testing::StrEq("width is 3, not 4")));
}

TEST(Assert, NamesConditionAndPlaceAndAsksForAReport) {
  const auto check = [] { HPDLF_ASSERT(1 == 2, "numbers"); };

  EXPECT_THAT(check, testing::ThrowsMessage<InternalError>(
                         testing::AllOf(HasSubstr("`1 == 2` does not hold"),
                                        HasSubstr("error_test.cc"), HasSubstr("report"))));
}

TEST(Check, DoesNotEvaluateTheMessageIfTheConditionHolds) {
  int evaluations = 0;

  HPDLF_CHECK(evaluations == 0, "{}", ++evaluations);

  EXPECT_EQ(evaluations, 0);
}

}  // namespace
}  // namespace hpdlf
