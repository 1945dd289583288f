// One declaration a field gives reading, errors, the effective file and the reference.
#include "base/config.hpp"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.hpp"

namespace hpdlf {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;
using test::message_of;

Config parse(std::string_view text, const std::vector<std::string>& overrides = {}) {
  return Config::from_text(text, "/home/ann/brain.toml", overrides);
}

TEST(Config, ReadsEveryTypeAndFallsBackToTheDefault) {
  Config config = parse(R"(
    [a]
    flag = true
    count = 3
    rate = 1e-3
    whole = 2
    name = "deep grey"
    sizes = [1, 2]
    scales = [1, 0.5]
    names = ["x", "y"]
    one = "only"
  )");

  EXPECT_TRUE(config.get<bool>("a.flag", false, ""));
  EXPECT_EQ(config.get<int>("a.count", 0, ""), 3);
  EXPECT_DOUBLE_EQ(config.get<double>("a.rate", 0, ""), 1e-3);
  EXPECT_DOUBLE_EQ(config.get<double>("a.whole", 0, ""), 2);
  EXPECT_EQ(config.get<std::string>("a.name", "", ""), "deep grey");
  EXPECT_THAT(config.get<std::vector<std::int64_t>>("a.sizes", {}, ""), ElementsAre(1, 2));
  EXPECT_THAT(config.get<std::vector<double>>("a.scales", {}, ""), ElementsAre(1, 0.5));
  EXPECT_THAT(config.get<std::vector<std::string>>("a.names", {}, ""), ElementsAre("x", "y"));
  EXPECT_THAT(config.get<std::vector<std::string>>("a.one", {}, ""), ElementsAre("only"));
  EXPECT_EQ(config.get<std::int64_t>("a.absent", 7, ""), 7);
  EXPECT_NO_THROW(config.check_unknown());
}

TEST(Config, BindsAMemberWhoseValueIsTheDefault) {
  struct {
    double momentum = 0.9;
    int depth = 4;
  } options;
  Config config = parse("[m]\ndepth = 5\n");

  config.bind("m.momentum", options.momentum, "");
  config.bind("m.depth", options.depth, "");

  EXPECT_EQ(options.momentum, 0.9);
  EXPECT_EQ(options.depth, 5);
}

TEST(Config, LetsTheLastOverrideWinAndNeedsNoQuotesOrBrackets) {
  Config config = parse("[a]\ncount = 3\n",
                        {"a.count=4", "a.count = 5", "a.name=one cycle", "a.number=2024",
                         "a.sizes=8,16", "a.more=[1, 2]", "a.names=left, right", "a.none="});

  EXPECT_EQ(config.get<int>("a.count", 0, ""), 5);
  EXPECT_EQ(config.get<std::string>("a.name", "", ""), "one cycle");
  EXPECT_EQ(config.get<std::string>("a.number", "", ""), "2024");
  EXPECT_THAT(config.get<std::vector<std::int64_t>>("a.sizes", {}, ""), ElementsAre(8, 16));
  EXPECT_THAT(config.get<std::vector<double>>("a.more", {}, ""), ElementsAre(1, 2));
  EXPECT_THAT(config.get<std::vector<std::string>>("a.names", {}, ""),
              ElementsAre("left", "right"));
  EXPECT_TRUE(config.get<std::vector<std::string>>("a.none", {"x"}, "").empty());
  EXPECT_NO_THROW(config.check_unknown());
}

TEST(Config, CountsPathsFromTheFileOrFromTheWorkingFolder) {
  Config config =
      parse("[d]\nimage = \"scans/a.nii\"\nlabel = \"/data/l.nii\"\nall = [\"../b.nii\"]\n",
            {"d.mask=m.nii"});

  EXPECT_EQ(config.get<fs::path>("d.image", "", ""), "/home/ann/scans/a.nii");
  EXPECT_EQ(config.get<fs::path>("d.label", "", ""), "/data/l.nii");
  EXPECT_THAT(config.get<std::vector<fs::path>>("d.all", {}, ""),
              ElementsAre(fs::path("/home/b.nii")));
  EXPECT_EQ(config.get<fs::path>("d.mask", "", ""), fs::current_path() / "m.nii");
  EXPECT_EQ(config.get<fs::path>("d.absent", "", ""), "");
}

TEST(Config, MakesPathsInsideTextAbsolute) {
  Config config = parse("[d]\nimages = [\"t1/*.nii;/data/flair.nii\", \"b.nii\"]\nname = \"a;b\"\n",
                        {"d.one=m.nii ; n.nii"});
  const std::string here = fs::current_path().string();

  EXPECT_THAT(config.get<std::vector<std::string>>("d.images", {}, "", {.is_path = true}),
              ElementsAre("/home/ann/t1/*.nii;/data/flair.nii", "/home/ann/b.nii"));
  EXPECT_EQ(config.get<std::string>("d.one", "", "", {.is_path = true}),
            here + "/m.nii;" + here + "/n.nii");
  EXPECT_EQ(config.get<std::string>("d.name", "", ""), "a;b");
}

TEST(Config, NamesLineExpectedAndFoundOfAWrongType) {
  Config config = parse("[o]\n\nlr = \"fast\"\nsteps = 1.5\nsizes = [1, \"two\"]\ndeep = {a = 1}\n",
                        {"o.bad=x"});

  EXPECT_EQ(message_of([&] { (void)config.get<double>("o.lr", 0, ""); }),
            "/home/ann/brain.toml:3: `o.lr` must be a number, found the string 'fast'");
  EXPECT_THAT(message_of([&] { (void)config.get<int>("o.steps", 0, ""); }),
              AllOf(HasSubstr("brain.toml:4"), HasSubstr("an integer"), HasSubstr("1.5")));
  EXPECT_THAT(message_of([&] { (void)config.get<std::vector<std::int64_t>>("o.sizes", {}, ""); }),
              AllOf(HasSubstr("`o.sizes[1]`"), HasSubstr("two")));
  EXPECT_THAT(message_of([&] { (void)config.get<std::string>("o.deep", "", ""); }),
              HasSubstr("found a table"));
  EXPECT_THAT(message_of([&] { (void)config.get<int>("o.bad", 0, ""); }),
              AllOf(HasSubstr("--set o.bad=x"), HasSubstr("an integer"), HasSubstr("'x'")));
}

TEST(Config, NamesValueAndRuleThatItBreaks) {
  Config config = parse(
      "[o]\nlr = 0\nkind = \"adam\"\nshare = 1.5\npatch = [64, 64]\nsizes = [4, 0]\nnan = nan\n");

  EXPECT_THAT(message_of([&] {
                (void)config.get<double>("o.lr", 1, "peak rate", {.min = 0, .above_min = true});
              }),
              AllOf(HasSubstr("brain.toml:2"), HasSubstr("> 0, found 0"), HasSubstr("peak rate")));
  EXPECT_THAT(message_of([&] {
                (void)config.get<std::string>("o.kind", "sgd", "", {.choices = {"adamw", "sgd"}});
              }),
              AllOf(HasSubstr("one of adamw, sgd"), HasSubstr("\"adam\"")));
  EXPECT_THAT(message_of([&] { (void)config.get<double>("o.share", 1, "", {.min = 0, .max = 1}); }),
              HasSubstr("from 0 to 1, found 1.5"));
  EXPECT_THAT(message_of([&] {
                (void)config.get<std::vector<std::int64_t>>("o.patch", {}, "", {.lengths = {3}});
              }),
              HasSubstr("must have 3 elements, found 2"));
  EXPECT_THAT(message_of([&] {
                (void)config.get<std::vector<std::int64_t>>("o.sizes", {}, "", {.min = 1});
              }),
              HasSubstr("`o.sizes[1]`"));
  EXPECT_THAT(message_of([&] { (void)config.get<double>("o.nan", 1, ""); }),
              HasSubstr("found nan"));
  EXPECT_THAT(message_of([&] { (void)parse("", {"x=3000000000"}).get<int>("x", 1, ""); }),
              HasSubstr("found 3000000000"));
}

TEST(Config, NamesTheNearestKeyOfEveryUnknownOne) {
  Config config = parse("[train]\nstep = 3\nlr = 1\n[optimiser]\nlr = 1\n", {"train.stepz=2"});
  (void)config.get<int>("train.steps", 1, "");
  (void)config.get<double>("optimizer.lr", 1, "");

  const std::string message = message_of([&] { config.check_unknown(); });

  EXPECT_THAT(message,
              HasSubstr("brain.toml:2: unknown key `train.step`; did you mean `train.steps`?"));
  EXPECT_THAT(message,
              HasSubstr("brain.toml:3: unknown key `train.lr`; did you mean `optimizer.lr`?"));
  EXPECT_THAT(message,
              HasSubstr("brain.toml:4: unknown section `optimiser`; did you mean `optimizer`?"));
  EXPECT_THAT(
      message,
      HasSubstr("--set train.stepz=2: unknown key `train.stepz`; did you mean `train.steps`?"));
}

TEST(Config, ReportsBrokenTomlOverrideFileAndMissingField) {
  EXPECT_THAT(message_of([] { (void)parse("[a]\nb = \n"); }),
              AllOf(HasSubstr("brain.toml:2"), HasSubstr("not valid TOML")));
  EXPECT_THAT(message_of([] { (void)parse("", {"steps"}); }),
              AllOf(HasSubstr("`--set steps`"), HasSubstr("key=value")));
  EXPECT_THAT(message_of([] { (void)Config::from_file("/none.toml"); }),
              HasSubstr("cannot read /none.toml: No such file"));
  EXPECT_THAT(message_of([] { (void)parse("").require<fs::path>("data.image", "the image file"); }),
              AllOf(HasSubstr("brain.toml: `data.image` is missing"), HasSubstr("the image file")));
  EXPECT_THROW(
      {
        Config config;
        (void)config.get<int>("a", 1, "");
        (void)config.get<int>("a", 1, "");
      },
      InternalError);
}

struct Everything {
  bool flag;
  std::int64_t count;
  double rate, huge;
  std::string name;
  fs::path file;
  std::vector<double> list;
  explicit Everything(Config& config)
      : flag(config.get<bool>("top", false, "a switch")),
        count((config.section("a", "first section"),
               config.get<std::int64_t>("a.count", 1, "how many", {.min = 1}))),
        rate(config.get<double>("a.rate", 0.1, "how fast")),
        huge(config.get<double>("a.huge", 1, "no limit")),
        name(config.get<std::string>("b.name", "x", "how it is called", {.choices = {}})),
        file(config.get<fs::path>("b.file", "", "where it lies")),
        list(config.get<std::vector<double>>("b.list", {}, "some numbers", {.lengths = {0, 2}})) {}
};

TEST(Config, WritesTheEffectiveFileThatReadsBackEqualFromAnywhere) {
  Config config =
      parse("top = true\n[b]\nfile = \"c.nii\"\nname = 'quote \" and \\'\n[a]\nrate = 0.1\n",
            {"a.rate=0.30000000000000004", "b.list=1,2.5", "a.huge=inf"});
  const Everything first(config);
  const std::string text = config.effective_toml();

  Config again = Config::from_text(text, "/elsewhere/config.toml");
  const Everything second(again);

  EXPECT_NO_THROW(again.check_unknown());
  EXPECT_EQ(second.flag, true);
  EXPECT_EQ(second.rate, 0.30000000000000004);
  EXPECT_TRUE(std::isinf(second.huge));
  EXPECT_EQ(second.name, "quote \" and \\");
  EXPECT_EQ(second.file, "/home/ann/c.nii");
  EXPECT_THAT(second.list, ElementsAre(1, 2.5));
  EXPECT_EQ(again.effective_toml(), text);
  EXPECT_THAT(text, AllOf(HasSubstr("[a]\n"), HasSubstr("# first section"),
                          HasSubstr("count = 1  # how many")));
}

TEST(Config, PrintsTheReferenceOfAllKeysWithoutAFile) {
  Config config;
  const Everything defaults(config);
  (void)config.require<std::string>("b.must", "cannot be guessed");

  const std::string text = config.reference();

  EXPECT_THAT(text,
              HasSubstr("[a]  first section\n  count: integer >= 1, default 1\n      how many\n"));
  EXPECT_THAT(text, HasSubstr("list: list of 0 or 2 numbers, default []"));
  EXPECT_THAT(text, HasSubstr("must: text, required\n      cannot be guessed"));
}

TEST(Config, SaysWhereAValueComesFrom) {
  Config config = parse("[a]\nb = 1\n", {"a.c=2"});

  EXPECT_EQ(config.where("a.b"), "/home/ann/brain.toml:2");
  EXPECT_EQ(config.where("a.c"), "--set a.c=2");
  EXPECT_THAT(config.where("a.d"), HasSubstr("default"));
  EXPECT_TRUE(config.is_given("a.b"));
  EXPECT_FALSE(config.is_given("a.d"));
}

}  // namespace
}  // namespace hpdlf
