// Charts: ticks are round, long curves stay small and keep their spikes, gaps stay gaps, the SVG is well-formed.
#include "train/line_chart.hpp"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

#include "train/html.hpp"

namespace hpdlf::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Points = std::vector<std::pair<double, double>>;

TEST(AxisTicks, AreRoundAndCoverTheRange) {
  EXPECT_THAT(axis_ticks(0, 200, 6), ElementsAre(0, 50, 100, 150, 200));
  EXPECT_THAT(axis_ticks(0, 0.9, 5), ElementsAre(0, testing::DoubleEq(0.2), testing::DoubleEq(0.4),
                                                 testing::DoubleNear(0.6, 1e-12),
                                                 testing::DoubleEq(0.8), testing::DoubleEq(1.0)));
  EXPECT_THAT(axis_ticks(-3, 4, 5), ElementsAre(-2, 0, 2, 4));
  EXPECT_GE(axis_ticks(5, 5, 5).size(), 2U);
}

TEST(ThinnedCurve, StaysSmallAndKeepsItsSpikes) {
  Points points;
  for (int i = 0; i < 100'000; ++i) points.emplace_back(i, i == 77'777 ? 9 : std::sin(i * 0.001));

  const Points few = thinned(points, 500);

  EXPECT_LE(few.size(), 1000U);
  EXPECT_TRUE(std::is_sorted(few.begin(), few.end(),
                             [](const auto& a, const auto& b) { return a.first < b.first; }));
  EXPECT_THAT(few, testing::Contains(std::pair(77'777.0, 9.0)));
  EXPECT_EQ(thinned({{1, 2}, {3, 4}}, 500).size(), 2U);
}

TEST(SmoothedCurve, IsUnbiasedAtTheStartAndSkipsGaps) {
  const Curve curve{"loss", {{0, 2}, {1, std::nan("")}, {2, 2}, {3, 4}}};

  const Curve smooth = smoothed(curve, 0.5);

  ASSERT_EQ(smooth.points.size(), 3U);
  EXPECT_DOUBLE_EQ(smooth.points[0].second, 2);
  EXPECT_DOUBLE_EQ(smooth.points[1].second, 2);
  EXPECT_DOUBLE_EQ(smooth.points[2].second, (4 * 0.5 + 2 * 0.25 + 2 * 0.125) / 0.875);
}

LineChart chart_of(Points points) {
  return {.title = "Loss <a>",
          .x_label = "step & more",
          .y_label = "loss",
          .lines = {{{"each \"step\"", std::move(points)}, "#123456"}}};
}

TEST(LineChart, EscapesItsTextsAndNamesItsAxes) {
  const std::string svg = render(chart_of({{0, 1}, {10, 3}}));

  EXPECT_THAT(svg,
              testing::AllOf(HasSubstr("Loss &lt;a&gt;"), HasSubstr("step &amp; more"),
                             HasSubstr("each &quot;step&quot;"), HasSubstr("stroke=\"#123456\""),
                             Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
}

TEST(LineChart, BreaksTheLineAtValuesThatAreNotFinite) {
  const std::string svg = render(chart_of({{0, 1},
                                           {1, 2},
                                           {2, std::nan("")},
                                           {3, std::numeric_limits<double>::infinity()},
                                           {4, 1},
                                           {5, 2}}));

  const std::string path = svg.substr(svg.find(" d=\""));
  EXPECT_EQ(
      std::count(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(path.find("/>")), 'M'),
      2);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(LineChart, StandsNoDataOnePointAndAConstant) {
  for (const Points& points : {Points{}, Points{{3, 0}}, Points{{0, 5}, {9, 5}},
                               Points{{0, std::nan("")}}, Points{{0, -1e300}, {1, 1e300}}})
    EXPECT_THAT(render(chart_of(points)),
                testing::AllOf(HasSubstr("</svg>"), Not(HasSubstr("nan"))));
}

TEST(HtmlText, IsEscapedAndNumbersAreReadable) {
  EXPECT_EQ(html::escape("<a href=\"x\">'&'\x01</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(html::number(0.01234), "0.0123");
  EXPECT_EQ(html::number(12'345.6), "12,346");
  EXPECT_EQ(html::number(-812.4), "-812");
  EXPECT_EQ(html::number(0), "0");
  EXPECT_EQ(html::number(1e-7), "1.00e-07");
  EXPECT_EQ(html::number(std::nan("")), "–");
  EXPECT_EQ(html::whole(1'401'333), "1,401,333");
  EXPECT_EQ(html::whole(-123), "-123");
  EXPECT_EQ(html::duration_ms(812.3), "812 ms");
  EXPECT_EQ(html::duration_ms(1234), "1.23 s");
  EXPECT_EQ(html::duration_ms(185'000), "3:05 min");
  EXPECT_EQ(html::memory_mib(512), "512 MiB");
  EXPECT_EQ(html::memory_mib(1495), "1.46 GiB");
  EXPECT_EQ(html::deviation(795, 812), "-2.1 %");
  EXPECT_EQ(html::deviation(0, 812), "–");
}

}  // namespace
}  // namespace hpdlf::train
