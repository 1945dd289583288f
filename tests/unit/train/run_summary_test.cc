#include "train/run_summary.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/atomic_file.hpp"
#include "support/temp_folder.hpp"

namespace hpdlf::train {
namespace {

TEST(RunSummary, HoldsAllFieldsAndStaysJsonWithNonFiniteNumbers) {
  const RunSummary summary{.name = "unet3d \"a\"",
                           .network = "n",
                           .plan = "d:4",
                           .machine = "m",
                           .mean_dice = 0.789,
                           .dice = {{"cortex", 0.9}, {"hippocampus + amygdala", std::nan("")}},
                           .loss = 0.5,
                           .steps = 200,
                           .resumed_at = 120,
                           .interrupted = true,
                           .step_ms = 810.5,
                           .predicted_step_ms = 800,
                           .busy = {0.97, 0.96},
                           .submit_us_per_task = 4.5,
                           .peak_rss_mib = 1500,
                           .predicted_peak_mib = 1450,
                           .total_seconds = 170,
                           .seed = 18'446'744'073'709'551'615ULL,
                           .ranks = 2,
                           .workers = 4};

  const auto json = nlohmann::json::parse(to_json(summary));

  EXPECT_EQ(json.at("name"), "unet3d \"a\"");
  EXPECT_EQ(json.at("mean_dice"), 0.789);
  EXPECT_EQ(json.at("dice").at("cortex"), 0.9);
  EXPECT_TRUE(json.at("dice").at("hippocampus + amygdala").is_null());
  EXPECT_EQ(json.at("loss"), 0.5);
  EXPECT_EQ(json.at("steps"), 200);
  EXPECT_EQ(json.at("resumed_at"), 120);
  EXPECT_EQ(json.at("interrupted"), true);
  EXPECT_EQ(json.at("step_ms"), 810.5);
  EXPECT_EQ(json.at("predicted_step_ms"), 800);
  EXPECT_EQ(json.at("busy"), nlohmann::json({0.97, 0.96}));
  EXPECT_EQ(json.at("submit_us_per_task"), 4.5);
  EXPECT_EQ(json.at("peak_rss_mib"), 1500);
  EXPECT_EQ(json.at("predicted_peak_mib"), 1450);
  EXPECT_EQ(json.at("total_seconds"), 170);
  EXPECT_EQ(json.at("seed"), 18'446'744'073'709'551'615ULL);
  EXPECT_EQ(json.at("ranks"), 2);
  EXPECT_EQ(json.at("workers"), 4);
  EXPECT_EQ(json.at("plan"), "d:4");
  EXPECT_EQ(json.at("machine"), "m");
  EXPECT_EQ(json.at("network"), "n");
}

TEST(RunSummary, SaysWhetherTheRunIsFinished) {
  const test::TempFolder folder;
  const auto path = folder / "summary.json";
  EXPECT_FALSE(says_finished(path, 200)) << "there is none";

  write_summary({.steps = 200}, path);
  EXPECT_TRUE(says_finished(path, 200));
  EXPECT_FALSE(says_finished(path, 300));

  write_summary({.steps = 200, .interrupted = true}, path);
  EXPECT_FALSE(says_finished(path, 200));

  for (const char* text : {"", "{\"steps\": 200", "{\"steps\": 200}", "[]"}) {
    write_file_atomically(path, std::string_view(text));
    EXPECT_FALSE(says_finished(path, 200)) << text;
  }
}

}  // namespace
}  // namespace hpdlf::train
