// ViTE itself reads the trace of a small training run, without a screen.
#include <array>
#include <cstdio>
#include <cstring>
#include <gmock/gmock.h>

#include "base/atomic_file.hpp"
#include "runtime/executor.hpp"
#include "runtime/trace.hpp"
#include "support/executor_runs.hpp"
#include "support/runtime_fixture.hpp"
#include "support/temp_folder.hpp"
#include "unit/partition/small_nets.hpp"

namespace hpdlf::runtime {
namespace {

using testing::HasSubstr;

/// What a shell command prints on both outputs.
std::string output_of(const std::string& command) {
  std::string text;
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> block{};
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), pipe))
    text.append(block.data(), n);
  pclose(pipe);
  return text;
}

class ViteTest : public test::RuntimeFixture {};

TEST_F(ViteTest, ReadsTheTraceOfATrainingRunWithoutErrorsOrWarnings) {
  if (!runtime_report().fxt) GTEST_SKIP() << "this StarPU has no FxT";
  if (output_of("command -v vite && command -v xvfb-run && echo found").find("found") ==
      std::string::npos)
    GTEST_SKIP() << "vite or xvfb-run is not installed";
  const test::TempFolder folder;
  session({.cpu_workers = 2, .trace_dir = folder.path().string()});
  test::expect_run_of_oracle(session(), test::small_unet(2, 8), "d:2");
  close_session();

  const auto trace = convert_fxt(folder.path());
  const std::string said = output_of("cd " + folder.path().string() +
                                     " && xvfb-run -a vite -e picture.svg " + trace.string());

  EXPECT_THAT(said, HasSubstr("0 errors and 0 warnings"));
  const std::string text = read_text_file(trace);
  EXPECT_THAT(text, HasSubstr("\"conv0\"")) << "a layer, forward";
  EXPECT_THAT(text, HasSubstr("\"conv0.grad_weight\"")) << "a layer, backward";
  EXPECT_THAT(text, HasSubstr("\"conv0.weight.step\"")) << "an update";
  EXPECT_THAT(read_text_file(folder / "picture.svg"), HasSubstr("<svg"));
}

}  // namespace
}  // namespace hpdlf::runtime
