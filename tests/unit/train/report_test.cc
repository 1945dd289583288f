// The report stands alone, says everything once, and survives hostile texts and missing parts.
#include "train/report.hpp"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <regex>
#include <unistd.h>

#include "base/atomic_file.hpp"

namespace hpdlf::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::vector<WorkerSpan> two_workers() {
  return {{0, 1000, 2000, "enc0.conv0 [0:24]", "forward"},
          {1, 1000, 1500, "enc0.conv0 [24:48]", "forward"},
          {1, 2500, 3000, "enc0.conv0.grad", "backward"},
          {0, 2000, 3000, "<odd> & name", "update"}};
}

ReportData example() {
  ReportData data;
  data.summary = {.name = "run <b>",
                  .network = "unet3d",
                  .plan = "d:4",
                  .machine = "2 cores",
                  .mean_dice = 0.5,
                  .dice = {{"cortex", 0.75}, {"<i>deep</i>", 0.25}},
                  .steps = 1200,
                  .step_ms = 812,
                  .predicted_step_ms = 795,
                  .peak_rss_mib = 1531,
                  .predicted_peak_mib = 1460};
  data.date = "2026-11-21 14:03";
  data.facts = {{"Data", "\"a\" & b"}};
  data.train_loss = {"loss", {{1, 2.5}, {2, 1.5}}};
  data.dice = {{"cortex", {{100, 0.7}}}, {"<i>deep</i>", {{100, 0.2}}}};
  data.mean_dice = {"mean", {{100, 0.5}}};
  data.slices = {{.plane = "axial",
                  .index = 7,
                  .image = RgbImage(4, 6),
                  .truth = RgbImage(4, 6),
                  .prediction = {}}};
  data.layers = {{"enc0.conv0", 10, 20, 0.5, 33}, {"head", 1, 2, 0.1, 3}};
  data.timeline = two_workers();
  return data;
}

/// Every element that is opened is closed, in order; attributes are quoted. Void elements and self-closing ones excepted.
void expect_well_formed(const std::string& html) {
  std::vector<std::string> open;
  static const std::regex tag(
      R"re(<(/?)([a-zA-Z0-9]+)((?:\s+[-a-zA-Z0-9:]+="[^"<]*")*)\s*(/?)>)re");
  std::string body = html.substr(html.find("<html"));
  const auto style = body.find("<style>");
  body.erase(style, body.find("</style>") + 8 - style);
  std::size_t matched = 0;
  for (std::sregex_iterator it(body.begin(), body.end(), tag), end; it != end; ++it, ++matched) {
    const std::string name = (*it)[2];
    if ((*it)[4] == "/" || name == "meta" || name == "img") continue;
    if ((*it)[1] == "/") {
      ASSERT_FALSE(open.empty()) << name;
      EXPECT_EQ(open.back(), name);
      open.pop_back();
    } else {
      open.push_back(name);
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(matched, static_cast<std::size_t>(
                         std::count(body.begin(), body.end(), '<')));  // no other '<' anywhere
}

TEST(Report, IsWellFormedAndNeedsNothingFromOutside) {
  const std::string html = report_html(example());

  expect_well_formed(html);
  for (const char* outside : {"http:", "https:", "//", "<script", "@import", "url("}) {
    const std::string without_pictures =
        std::regex_replace(html, std::regex("base64,[A-Za-z0-9+/=]*"), "");
    EXPECT_THAT(without_pictures, Not(HasSubstr(outside)));
  }
  EXPECT_THAT(html, HasSubstr("src=\"data:image/png;base64,"));
}

TEST(Report, ShowsResultPredictionLayersAndFactsEscaped) {
  const std::string html = report_html(example());

  EXPECT_THAT(html, AllOf(HasSubstr("run &lt;b&gt;"), HasSubstr("&lt;i&gt;deep&lt;/i&gt;"),
                          HasSubstr("&quot;a&quot; &amp; b"), HasSubstr("0.500"),
                          HasSubstr("predicted 795 ms (-2.1 %)"), HasSubstr("1.50 GiB"),
                          HasSubstr("1,200"), HasSubstr("enc0.conv0"), HasSubstr("axial, slice 7"),
                          HasSubstr("2026-11-21 14:03")));
  EXPECT_THAT(html, HasSubstr("<td>all "
                              "layers</td><td>11.0</td><td>22.0</td><td>0.600</td><td>33.6</"
                              "td><td>36.0</td><td>+7.1 %</td>"));
  EXPECT_THAT(html, AllOf(HasSubstr("prefers-color-scheme: dark"), HasSubstr("@media print")));
}

TEST(Report, LeavesOutPartsWithoutData) {
  ReportData data;
  data.summary.name = "empty";
  data.summary.mean_dice = std::nan("");

  const std::string html = report_html(data);

  expect_well_formed(html);
  EXPECT_THAT(html, AllOf(HasSubstr("empty"), Not(HasSubstr("<svg")), Not(HasSubstr("<img")),
                          Not(HasSubstr("nan"))));
}

TEST(Report, IsWrittenAsAFile) {
  const auto path =
      std::filesystem::temp_directory_path() / fmt::format("hpdlf-report-{}.html", ::getpid());
  write_report(example(), path);

  EXPECT_EQ(read_text_file(path), report_html(example()));
  std::filesystem::remove(path);
}

TEST(TimelineChart, MeasuresHowBusyTheWorkersWere) {
  EXPECT_DOUBLE_EQ(busy_share(two_workers(), 0), 1.0);
  EXPECT_DOUBLE_EQ(busy_share(two_workers(), 1), 0.5);
  EXPECT_DOUBLE_EQ(busy_share(two_workers()), 0.75);
  EXPECT_EQ(busy_share({}), 0);
}

TEST(TimelineChart, DrawsOneRowAWorkerColouredByPhase) {
  const std::string svg = render_timeline(two_workers());

  EXPECT_THAT(svg, AllOf(HasSubstr("worker 0"), HasSubstr("worker 1"), HasSubstr("100 % busy"),
                         HasSubstr("50 % busy"), HasSubstr("&lt;odd&gt; &amp; name"),
                         HasSubstr(phase_color("backward"))));
  EXPECT_EQ(render_timeline({}), "");
}

TEST(TimelineChart, JoinsTasksTooThinToSee) {
  std::vector<WorkerSpan> spans;
  for (int i = 0; i < 100'000; ++i) spans.push_back({0, i * 10.0, i * 10.0 + 9, "task", "forward"});

  const std::string svg = render_timeline(spans);

  EXPECT_LT(svg.size(), 1'000'000U);
  EXPECT_THAT(svg, HasSubstr("more tasks"));
}

}  // namespace
}  // namespace hpdlf::train
