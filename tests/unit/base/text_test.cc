#include "base/text.hpp"

#include <fstream>
#include <gtest/gtest.h>

#include "support/temp_folder.hpp"

namespace hpdlf {
namespace {

TEST(Text, IsTrimmedOfBlanksAndLineEnds) {
  EXPECT_EQ(trimmed(" \ta b\t\r"), "a b");
  EXPECT_EQ(trimmed(" \r"), "");
}

TEST(Text, IsSplitIntoWhatIsNotEmpty) {
  EXPECT_EQ(split(" a, b c ,,d", ','), (std::vector<std::string>{"a", "b c", "d"}));
  EXPECT_EQ(split("a", ','), (std::vector<std::string>{"a"}));
  EXPECT_TRUE(split(" , ", ',').empty());
}

TEST(Field, IsWhatStandsBehindItsWholeName) {
  const test::TempFolder folder;
  std::ofstream(folder / "status")
      << "MemFreeable: 1 kB\nMemFree:   12 kB\nmodel name\t: A: B \ninactive_file 34\nempty:\n";

  EXPECT_EQ(field_of(folder / "status", "MemFree"), "12 kB");
  EXPECT_EQ(field_of(folder / "status", "model name"), "A: B");
  EXPECT_EQ(number_of(folder / "status", "MemFree"), 12);
  EXPECT_EQ(number_of(folder / "status", "inactive_file"), 34);
}

TEST(Field, IsEmptyOrZeroIfTheFileDoesNotSay) {
  const test::TempFolder folder;
  std::ofstream(folder / "status") << "MemFree: 12 kB\nempty:\n";

  EXPECT_EQ(field_of(folder / "status", "empty"), "");
  EXPECT_EQ(field_of(folder / "status", "MemFre"), "");
  EXPECT_EQ(number_of(folder / "status", "MemTotal"), 0);
  EXPECT_EQ(field_of(folder / "nothing", "MemFree"), "");
}

}  // namespace
}  // namespace hpdlf
