// The bar fits every terminal; plain output is lines in time; quiet is quiet.
#include "train/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

namespace hpdlf::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Style = ProgressOptions::Style;

ProgressState example(std::int64_t step = 50) {
  return {.step = step,
          .steps = 200,
          .loss = 0.52341,
          .dice = 0.712,
          .step_seconds = 0.5,
          .units_per_step = 600'000};
}

int columns_of(std::string_view text) {  // code points; nothing here is wider than one column
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

TEST(ProgressText, HoldsAllThatMatters) {
  EXPECT_EQ(progress_text_line(example(), 0.5),
            "step 50/200  loss 0.5234  Dice 0.712  1.2 Mvoxels/s  1:15 left");
  EXPECT_EQ(progress_text_line({.step = 1, .steps = 9, .loss = 1}, 0), "step 1/9  loss 1.0000");
}

TEST(ProgressBar, DropsFieldsRatherThanWrapsAtEveryWidth) {
  for (const bool unicode : {false, true})
    for (int width = 0; width < 200; ++width)
      EXPECT_LE(columns_of(progress_bar_line(example(), 0.5, {.width = width, .unicode = unicode})),
                width);

  EXPECT_THAT(progress_bar_line(example(), 0.5, {.width = 120}),
              AllOf(HasSubstr("####"), HasSubstr("Mvoxels/s")));
  EXPECT_THAT(progress_bar_line(example(), 0.5, {.width = 60}),
              AllOf(HasSubstr("#---"), HasSubstr("left"), Not(HasSubstr("Mvoxels/s"))));
  EXPECT_THAT(progress_bar_line(example(), 0.5, {.width = 24}), Not(HasSubstr("#")));
}

TEST(ProgressBar, FillsInHalfColumns) {
  const auto bar = [](std::int64_t step) {
    return progress_bar_line({.step = step, .steps = 80, .loss = 1}, 0,
                             {.width = 80, .unicode = true});
  };

  EXPECT_THAT(bar(3), HasSubstr("━╸─"));
  EXPECT_THAT(bar(80), AllOf(HasSubstr("━━"), Not(HasSubstr("─"))));
  EXPECT_EQ(columns_of(bar(3)), columns_of(bar(80)));
}

TEST(ClockText, ReadsLikeAClock) {
  EXPECT_EQ(clock_text(48.4), "0:48");
  EXPECT_EQ(clock_text(725), "12:05");
  EXPECT_EQ(clock_text(3723), "1:02:03");
  EXPECT_EQ(clock_text(-5), "0:00");
}

/// Runs `action` with a Progress on a pipe and returns what it wrote.
template <class Action>
std::string written_by(ProgressOptions options, Action action) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  options.fd = ends[1];
  {
    Progress progress(options);
    action(progress);
  }
  ::close(ends[1]);
  std::string text(65'536, '\0');
  const ssize_t n = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, n)));
  return text;
}

TEST(Progress, WritesPlainLinesInTimeAndAlwaysTheLastStep) {
  double now = 0;
  const std::string text =
      written_by({.line_seconds = 10, .clock = [&] { return now; }}, [&](Progress& progress) {
        for (std::int64_t step = 1; step <= 200; ++step) {
          now += 0.15;
          progress.update(example(step));
        }
        progress.message("saved");
      });

  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'),
            5);  // 0 s, 10 s, 20 s, the end, the message
  EXPECT_THAT(text, AllOf(HasSubstr("step 1/200"), HasSubstr("step 200/200"),
                          testing::EndsWith("saved\n"), Not(HasSubstr("\r"))));
}

TEST(Progress, RedrawsInPlaceAndKeepsMessagesAboveTheBar) {
  double now = 0;
  const std::string text =
      written_by({.style = Style::bar, .clock = [&] { return now; }}, [&](Progress& progress) {
        progress.update(example(1));
        now += 0.01;
        progress.update(example(2));  // too soon: not drawn
        now += 0.2;
        progress.update(example(3));
        progress.message("Dice 0.7");
      });

  EXPECT_THAT(text, Not(HasSubstr("  2/200")));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), 3);
  EXPECT_THAT(text, HasSubstr("\r\x1b[KDice 0.7\n  3/200"));
  EXPECT_EQ(text.back(), '\n');
}

TEST(Progress, WritesNothingWhenQuiet) {
  const std::string text = written_by({.style = Style::quiet}, [](Progress& progress) {
    progress.update(example(200));
    progress.message("saved");
  });

  EXPECT_EQ(text, "");
}

TEST(Progress, UsesTheWidthOfItsTerminal) {
  int master = -1, slave = -1;
  winsize size{.ws_row = 24, .ws_col = 30, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
  {
    Progress progress({.style = Style::bar, .fd = slave});
    progress.update(example());
  }
  std::string text(4096, '\0');
  text.resize(static_cast<std::size_t>(::read(master, text.data(), text.size())));
  ::close(slave);
  ::close(master);

  const auto line =
      text.substr(1, text.find('\x1b') - 1);  // colour codes begin there if there is room for a bar
  EXPECT_LE(columns_of(line), 29);
  EXPECT_THAT(text, HasSubstr("loss 0.5234"));
}

}  // namespace
}  // namespace hpdlf::train
