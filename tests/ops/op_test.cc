// Checks every operator case of every family; op_case.hpp lists what.
#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <set>

#include "tests/ops/op_check.hpp"

namespace hpdlf::test {
namespace {

using CasePtr = const OpCase*;

std::vector<CasePtr> cases_where(const std::function<bool(const OpCase&)>& condition) {
  std::vector<CasePtr> chosen;
  for (const auto& op_case : all_op_cases())
    if (condition(op_case)) chosen.push_back(&op_case);
  return chosen;
}

bool is_regular(const OpCase& op_case) { return op_case.error.empty(); }

const graph::OpSpec* spec_of(const OpCase& op_case) {
  return graph::op_registry().find(op_case.op);
}

std::string case_name(const testing::TestParamInfo<CasePtr>& info) {
  return info.param->op + "_" + info.param->name;
}

class OperatorTest : public testing::TestWithParam<CasePtr> {};

TEST_P(OperatorTest, KernelsEqualReference) { CheckedCase(*GetParam()).check_kernels(0); }

TEST_P(OperatorTest, KernelsEqualReferenceOnStridedViews) {
  CheckedCase(*GetParam()).check_kernels(3);
}

TEST_P(OperatorTest, CostIsPositiveAndGrowsWithSize) { CheckedCase(*GetParam()).check_cost(); }

TEST_P(OperatorTest, TiledEqualsWhole) {
  const CheckedCase checked(*GetParam());
  const std::size_t factors = graph::tiling_rule(checked.call()).factors.size();
  const auto check = [&](const std::vector<std::pair<int, int>>& cuts) {
    std::vector<int> parts(factors, 1);
    for (const auto& [factor, n] : cuts) parts[static_cast<std::size_t>(factor)] = n;
    SCOPED_TRACE(fmt::format("parts per factor: {}",
                             to_string(Extents(std::span<const std::int64_t>(
                                 std::vector<std::int64_t>(parts.begin(), parts.end()))))));
    checked.check_tiling(parts);
  };
  for (const int parts : {2, 3})
    for (const int factor : checked.free_factors(parts)) check({{factor, parts}});
  const std::vector<int> free = checked.free_factors(2);
  for (std::size_t i = 0; i < free.size(); ++i)
    for (std::size_t j = i + 1; j < free.size(); ++j) check({{free[i], 2}, {free[j], 2}});
}

INSTANTIATE_TEST_SUITE_P(All, OperatorTest, testing::ValuesIn(cases_where(is_regular)), case_name);

class OperatorGradientTest : public testing::TestWithParam<CasePtr> {};

TEST_P(OperatorGradientTest, EqualsFiniteDifferencesOfReference) {
  CheckedCase(*GetParam()).check_gradient();
}

INSTANTIATE_TEST_SUITE_P(All, OperatorGradientTest,
                         testing::ValuesIn(cases_where([](const OpCase& c) {
                           return is_regular(c) && !c.differentiate.empty();
                         })),
                         case_name);

class OperatorAccumulateTest : public testing::TestWithParam<CasePtr> {};

TEST_P(OperatorAccumulateTest, AddsToWhatIsThere) { CheckedCase(*GetParam()).check_accumulate(); }

INSTANTIATE_TEST_SUITE_P(All, OperatorAccumulateTest,
                         testing::ValuesIn(cases_where([](const OpCase& c) {
                           return is_regular(c) && spec_of(c) != nullptr && spec_of(c)->accumulates;
                         })),
                         case_name);

class OperatorInPlaceTest : public testing::TestWithParam<CasePtr> {};

TEST_P(OperatorInPlaceTest, EqualsReference) { CheckedCase(*GetParam()).check_in_place(); }

INSTANTIATE_TEST_SUITE_P(All, OperatorInPlaceTest,
                         testing::ValuesIn(cases_where([](const OpCase& c) {
                           return is_regular(c) && spec_of(c) != nullptr &&
                                  !spec_of(c)->in_place.empty();
                         })),
                         case_name);

class OperatorErrorTest : public testing::TestWithParam<CasePtr> {};

TEST_P(OperatorErrorTest, NamesWhatIsWrong) {
  OpCase op_case = *GetParam();
  if (!op_case.reference) op_case.reference = [](ReferenceCall&) {};
  try {
    CheckedCase(op_case).check_kernels(0);
    FAIL() << "no error";
  } catch (const InternalError& error) {
    FAIL() << "an internal error: " << error.what();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(op_case.error), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(All, OperatorErrorTest, testing::ValuesIn(cases_where([](const OpCase& c) {
                           return !is_regular(c);
                         })),
                         case_name);

TEST(OperatorCases, CoverEveryOperatorAndEveryGradient) {
  std::set<std::string> covered, differentiated;
  for (const auto& op_case : all_op_cases()) {
    if (!is_regular(op_case)) continue;
    covered.insert(op_case.op);
    if (!op_case.differentiate.empty()) differentiated.insert(op_case.op);
  }

  for (const auto* spec : graph::op_registry().all()) {
    EXPECT_TRUE(covered.count(spec->name)) << spec->name << " has no case";
    EXPECT_TRUE(spec->gradient == nullptr || differentiated.count(spec->name))
        << "no case differentiates " << spec->name;
  }
}

}  // namespace
}  // namespace hpdlf::test
