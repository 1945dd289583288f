#include "base/console.hpp"

#include <csignal>
#include <gtest/gtest.h>
#include <unistd.h>

namespace hpdlf {
namespace {

TEST(SayLine, WritesAtOnce) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::FILE* file = ::fdopen(ends[1], "w");

  say_line(file, "one");

  char text[16] = {};
  EXPECT_EQ(::read(ends[0], text, sizeof text), 4);
  EXPECT_STREQ(text, "one\n");
  std::fclose(file);
  ::close(ends[0]);
}

TEST(SayLine, IsLostInAPipeThatNobodyReads) {
  const auto old_action = std::signal(SIGPIPE, SIG_DFL);
  outlive_readers();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::FILE* file = ::fdopen(ends[1], "w");
  ::close(ends[0]);

  for (int i = 0; i < 3; ++i) say_line(file, std::string(10'000, 'x'));

  EXPECT_NE(std::ferror(file), 0);
  std::fclose(file);
  std::signal(SIGPIPE, old_action);
}

}  // namespace
}  // namespace hpdlf
