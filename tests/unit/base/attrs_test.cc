#include "base/attrs.hpp"

#include <gmock/gmock.h>

namespace hpdlf {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Attrs, IntegerServesAsFloat) {
  EXPECT_EQ(Attrs({{"alpha", std::int64_t{2}}}).real("alpha"), 2.0);
}

TEST(Attrs, MissingNameIsNamed) {
  EXPECT_THAT([] { (void)Attrs().integer("axis"); },
              ThrowsMessage<Error>(HasSubstr("`axis` is missing")));
}

TEST(Attrs, WrongTypeIsNamed) {
  const Attrs attrs = {{"axis", std::string("one")}};

  EXPECT_THAT([&] { (void)attrs.integer("axis"); },
              ThrowsMessage<Error>(HasSubstr("`axis` must be an integer")));
}

TEST(Attrs, PrintInOrderOfName) {
  const Attrs attrs = {{"strides", std::vector<std::int64_t>{2, 1}},
                       {"alpha", 0.5},
                       {"mode", std::string("linear")}};

  EXPECT_EQ(to_string(attrs), "alpha=0.5 mode=linear strides=[2,1]");
}

}  // namespace
}  // namespace hpdlf
