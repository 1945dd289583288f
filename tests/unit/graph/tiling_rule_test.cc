#include "graph/tiling_rule.hpp"

#include <gmock/gmock.h>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

using Integers = std::vector<std::int64_t>;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// A call of nothing in particular with these operand extents.
struct Call {
  Attrs attrs;
  OpCall call;

  Call(std::vector<Extents> inputs, std::vector<Extents> outputs, Attrs a = {})
      : attrs(std::move(a)) {
    call.attrs = &attrs;
    for (const auto& extents : inputs) call.inputs.push_back({DType::f32, extents});
    for (const auto& extents : outputs) call.outputs.push_back({DType::f32, extents});
  }
  [[nodiscard]] TilingRule bind(std::string_view rule) const { return bind_rule(rule, call); }
};

Attrs window(Integers kernel, Integers strides, Integers pads, Integers dilations) {
  return {{"kernel_shape", std::move(kernel)},
          {"strides", std::move(strides)},
          {"pads", std::move(pads)},
          {"dilations", std::move(dilations)}};
}

std::string letters(const TilingRule& rule) {
  std::string text;
  for (const auto& factor : rule.factors) text += factor.letter;
  return text;
}

Factor::Kind kind_of(const TilingRule& rule, char letter) {
  return rule.factors[static_cast<std::size_t>(rule.find(letter))].kind;
}

/// The part [lo, hi) of factor `letter`, everything of the others.
Box part(const TilingRule& rule, char letter, std::int64_t lo, std::int64_t hi) {
  Box tile = rule.iteration_space();
  tile.lo[rule.find(letter)] = lo;
  tile.hi[rule.find(letter)] = hi;
  return tile;
}

TEST(TilingRule, FactorMissingFromTheOutputIsSummed) {
  const TilingRule rule = Call({{4, 6}, {6, 5}}, {{4, 5}}).bind("m k, k n -> m n");

  EXPECT_EQ(letters(rule), "mkn");
  EXPECT_EQ(kind_of(rule, 'm'), Factor::Kind::parallel);
  EXPECT_EQ(kind_of(rule, 'k'), Factor::Kind::summed);
  EXPECT_EQ(rule.iteration_space().extents(), (Extents{4, 6, 5}));
}

TEST(TilingRule, FactorMissingFromOneOfTwoOutputsIsSummed) {
  const TilingRule rule = Call({{4, 6}}, {{4, 6}, {6}}).bind("n c -> n c, c");

  EXPECT_EQ(kind_of(rule, 'n'), Factor::Kind::summed);
  EXPECT_EQ(kind_of(rule, 'c'), Factor::Kind::parallel);
}

TEST(TilingRule, ExclamationMarkKeepsAFactorWhole) {
  const TilingRule rule = Call({{4, 6}}, {{4, 6}}).bind("n c! -> n c");

  EXPECT_EQ(kind_of(rule, 'c'), Factor::Kind::whole);
}

TEST(TilingRule, PlainOperandBoxFollowsItsFactorsOnly) {
  const TilingRule rule = Call({{4, 6}, {6, 5}}, {{4, 5}}).bind("m k, k n -> m n");
  const Box tile = part(rule, 'm', 1, 3);

  EXPECT_EQ(TilingRule::operand_box(rule.inputs[0], tile, {4, 6}), (Box{{1, 0}, {3, 6}}));
  EXPECT_EQ(TilingRule::operand_box(rule.inputs[1], tile, {6, 5}), Box::whole({6, 5}));
  EXPECT_TRUE(TilingRule::is_missing(rule.inputs[1], rule.find('m')));
}

TEST(TilingRule, EllipsisTakesTheUsualLetters) {
  const auto bound = [](Extents extents) {
    return letters(Call({extents}, {extents}).bind("... -> ..."));
  };

  EXPECT_EQ(bound({}), "");
  EXPECT_EQ(bound({7}), "c");
  EXPECT_EQ(bound({2, 7}), "nc");
  EXPECT_EQ(bound({2, 3, 7}), "ntc");
  EXPECT_EQ(bound({2, 3, 4, 7}), "nhwc");
  EXPECT_EQ(bound({2, 3, 4, 5, 7}), "ndhwc");
}

TEST(TilingRule, EllipsisIsNamedByTheFirstOperandThatHasOne) {
  const TilingRule rule = Call({{2, 3, 4, 5, 7}, {2, 3, 4, 5}}, {{2}}).bind("... k!, ... -> 2");

  EXPECT_EQ(letters(rule), "ndhwk");
  EXPECT_EQ(kind_of(rule, 'd'), Factor::Kind::summed);
}

TEST(TilingRule, EllipsisCapitalisesLettersThatTheRuleUses) {
  const TilingRule rule =
      Call({{8, 4, 6}, {8, 6, 5}}, {{8, 4, 5}}).bind("... m k, ... k n -> ... m n");

  EXPECT_EQ(letters(rule), "Nmkn");
}

TEST(TilingRule, NumbersStandForFixedDimensions) {
  const TilingRule rule = Call({{4, 9, 6}}, {{1, 2, 6}}).bind("n h c -> 1 2 c");

  EXPECT_EQ(TilingRule::operand_box(rule.outputs[0], part(rule, 'c', 2, 4), {1, 2, 6}),
            (Box{{0, 0, 2}, {1, 2, 4}}));
  EXPECT_THROW((void)Call({{4, 9, 6}}, {{1, 3, 6}}).bind("n h c -> 1 2 c"), InternalError);
}

TEST(TilingRule, BlocksAreCutBetweenThemOnly) {
  const TilingRule rule = Call({{3, 5}, {40}}, {{4, 40}}).bind("k q!, k*16 -> n k*16");

  EXPECT_EQ(rule.factors[static_cast<std::size_t>(rule.find('k'))].extent, 3);
  EXPECT_EQ(kind_of(rule, 'k'), Factor::Kind::parallel);
  EXPECT_EQ(TilingRule::operand_box(rule.inputs[0], part(rule, 'k', 1, 3), {3, 5}),
            (Box{{1, 0}, {3, 5}}));
  EXPECT_EQ(TilingRule::operand_box(rule.outputs[0], part(rule, 'k', 0, 2), {4, 40}),
            (Box{{0, 0}, {4, 32}}));
  EXPECT_EQ(TilingRule::operand_box(rule.outputs[0], part(rule, 'k', 2, 3), {4, 40}),
            (Box{{0, 32}, {4, 40}}));
  EXPECT_THROW((void)Call({{4, 5}, {40}}, {{4, 40}}).bind("k q!, k*16 -> n k*16"), Error);
}

TEST(TilingRule, ScalarsAndMissingInputsAreAllowed) {
  const TilingRule rule = Call({{4, 6}, {}}, {{4, 6}}).bind("n c, (), c -> n c");
  EXPECT_EQ(rule.inputs.size(), 2U);
  EXPECT_EQ(TilingRule::operand_box(rule.inputs[1], rule.iteration_space(), {}), Box::whole({}));

  EXPECT_EQ(letters(Call({}, {{4, 6}}).bind(" -> ...")), "nc");
}

TEST(TilingRule, OneLetterWithTwoExtentsIsAnError) {
  EXPECT_THAT(
      [] {
        (void)Call({{4, 6}, {7, 5}}, {{4, 5}}).bind("m k, k n -> m n");
      },
      ThrowsMessage<Error>(
          testing::AllOf(HasSubstr("`k`"), HasSubstr("6"), HasSubstr("f32[7,5]"))));
}

TEST(TilingRule, MalformedTextIsAnInternalError) {
  const Call call({{4, 6}}, {{4, 6}});
  for (const char* text : {"n c", "n c -> n c -> n c", "n c, -> n c", "n c? -> n c", "n c~x -> n c",
                           "n -> n c", "n c -> n x~", "n c*0 -> n c", "n c* -> n c"})
    EXPECT_THROW((void)call.bind(text), Error) << text;
}

// Rows of a convolution, worked out by hand: output row o reads input rows o * stride - pad + tap * dilation.
TEST(TilingRuleWindow, HaloOfAKernelOfThreeIsOneRowAndClippedAtTheBorder) {
  const TilingRule rule =
      Call({{1, 9, 4}}, {{1, 9, 4}}, window({3}, {1}, {1, 1}, {1})).bind("n h~ c -> n h c");
  const auto rows = [&](std::int64_t lo, std::int64_t hi) {
    return TilingRule::operand_box(rule.inputs[0], part(rule, 'h', lo, hi), {1, 9, 4});
  };

  EXPECT_EQ(rows(0, 4), (Box{{0, 0, 0}, {1, 5, 4}}));
  EXPECT_EQ(rows(4, 9), (Box{{0, 3, 0}, {1, 9, 4}}));
  EXPECT_EQ(rows(4, 5), (Box{{0, 3, 0}, {1, 6, 4}}));
}

TEST(TilingRuleWindow, StrideTwoOfAnOddExtent) {
  // 7 rows, kernel 3, stride 2, pad 1: 4 outputs; output 2 reads rows 3..5, output 3 rows 5, 6 and padding
  const TilingRule rule = Call({{7}}, {{4}}, window({3}, {2}, {1, 1}, {1})).bind("h~ -> h");
  const auto rows = [&](std::int64_t lo, std::int64_t hi) {
    return TilingRule::operand_box(rule.inputs[0], part(rule, 'h', lo, hi), {7});
  };

  EXPECT_EQ(rows(0, 2), (Box{{0}, {4}}));
  EXPECT_EQ(rows(2, 3), (Box{{3}, {6}}));
  EXPECT_EQ(rows(2, 4), (Box{{3}, {7}}));
}

TEST(TilingRuleWindow, DilationWidensTheHalo) {
  const TilingRule rule = Call({{11}}, {{11}}, window({3}, {1}, {2, 2}, {2})).bind("h~ -> h");

  EXPECT_EQ(TilingRule::operand_box(rule.inputs[0], part(rule, 'h', 5, 6), {11}), (Box{{3}, {8}}));
}

TEST(TilingRuleWindow, HaloMayBeWiderThanATile) {
  const TilingRule rule = Call({{12}}, {{12}}, window({7}, {1}, {3, 3}, {1})).bind("h~ -> h");

  EXPECT_EQ(TilingRule::operand_box(rule.inputs[0], part(rule, 'h', 4, 5), {12}), (Box{{1}, {8}}));
}

TEST(TilingRuleWindow, GeometryIsThatOfTheSlidingLetterInOrderOfAppearance) {
  const TilingRule rule =
      Call({{1, 9, 9, 4}}, {{1, 9, 5, 4}}, window({1, 3}, {1, 2}, {0, 1, 0, 1}, {}))
          .bind("n h~ w~ c -> n h w c");
  const Box tile = part(rule, 'w', 2, 3);

  EXPECT_EQ(TilingRule::operand_box(rule.inputs[0], tile, {1, 9, 9, 4}),
            (Box{{0, 0, 3, 0}, {1, 9, 6, 4}}));
}

TEST(TilingRuleWindow, PaddingOnlyWindowTouchesNothing) {
  const TilingRule rule = Call({{4}}, {{8}}, window({1}, {1}, {2, 2}, {1})).bind("h~ -> h");

  EXPECT_TRUE(TilingRule::operand_box(rule.inputs[0], part(rule, 'h', 0, 2), {4}).is_empty());
  EXPECT_TRUE(TilingRule::operand_box(rule.inputs[0], part(rule, 'h', 6, 8), {4}).is_empty());
}

TEST(TilingRuleWindow, MarginIsTheSameOnBothSides) {
  const TilingRule rule = Call({{9}}, {{9}}).bind("h~2 -> h");

  EXPECT_EQ(TilingRule::operand_box(rule.inputs[0], part(rule, 'h', 4, 5), {9}), (Box{{2}, {7}}));
  EXPECT_EQ(TilingRule::operand_box(rule.inputs[0], part(rule, 'h', 0, 1), {9}), (Box{{0}, {3}}));
}

/// Every input index i that reaches output index x of the tile, found by trying all taps.
TEST(TilingRuleWindow, TransposedBoxIsTheSmallestThatHoldsAllReachingIndices) {
  struct Geometry {
    std::int64_t kernel, stride, dilation, pad;
  };
  for (const Geometry g : {Geometry{3, 1, 1, 1},
                           {2, 2, 1, 0},
                           {3, 2, 1, 1},
                           {4, 3, 1, 2},
                           {3, 2, 2, 2},
                           {1, 2, 1, 0}}) {
    const std::int64_t windows = 6;
    const std::int64_t extent = (windows - 1) * g.stride + (g.kernel - 1) * g.dilation + 1 - g.pad;
    const TilingRule rule =
        Call({{windows}}, {{extent}}, window({g.kernel}, {g.stride}, {g.pad, 0}, {g.dilation}))
            .bind("h^ -> h");
    for (std::int64_t lo = 0; lo < extent; ++lo) {
      for (std::int64_t hi = lo + 1; hi <= extent; ++hi) {
        const Box box = TilingRule::operand_box(rule.inputs[0], part(rule, 'h', lo, hi), {windows});
        for (std::int64_t i = 0; i < windows; ++i) {
          bool reaches = false;
          for (std::int64_t tap = 0; tap < g.kernel; ++tap) {
            const std::int64_t x = i * g.stride - g.pad + tap * g.dilation;
            reaches = reaches || (x >= lo && x < hi);
          }
          const bool is_inside = box.lo[0] <= i && i < box.hi[0];
          EXPECT_TRUE(is_inside || !reaches) << "kernel " << g.kernel << " stride " << g.stride
                                             << " [" << lo << "," << hi << ") " << i;
          const bool has_no_gaps = g.dilation == 1;
          EXPECT_TRUE(reaches || !is_inside || !has_no_gaps)
              << "kernel " << g.kernel << " stride " << g.stride << " [" << lo << "," << hi << ") "
              << i;
        }
      }
    }
  }
}

TEST(TilingRuleWindow, WrongNumberOfKernelExtentsIsAnError) {
  EXPECT_THAT(
      [] {
        (void)Call({{9}}, {{9}}, window({3, 3}, {}, {}, {})).bind("h~ -> h");
      },
      ThrowsMessage<Error>(HasSubstr("kernel_shape=[3,3]")));
}

TEST(TilingRule, ConvolutionInThreeDimensionsHasNineFactors) {
  const TilingRule rule = Call({{2, 8, 8, 8, 3}, {4, 3, 3, 3, 3}, {4}}, {{2, 8, 8, 8, 4}},
                               window({3, 3, 3}, {1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1}))
                              .bind("n d~ h~ w~ c, k r! s! t! c, k -> n d h w k");

  EXPECT_EQ(letters(rule), "ndhwckrst");
  EXPECT_EQ(kind_of(rule, 'c'), Factor::Kind::summed);
  EXPECT_EQ(kind_of(rule, 'r'), Factor::Kind::whole);
  EXPECT_EQ(TilingRule::operand_box(rule.inputs[2], part(rule, 'k', 2, 4), {4}), (Box{{2}, {4}}));
}

}  // namespace
}  // namespace hpdlf::graph
