// A test that runs on StarPU: opens a session on demand and fails if handles are left at its end.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gtest/gtest.h>
#include <memory>

#include "partition/cost_model.hpp"
#include "runtime/session.hpp"

namespace hpdlf::test {

class RuntimeFixture : public testing::Test {
 protected:
  /// The session of this test, opened at the first call; executors must be gone at the end of the test.
  runtime::Session& session(const runtime::SessionOptions& options = {.cpu_workers = 2}) {
    if (!session_) session_ = std::make_unique<runtime::Session>(options);
    return *session_;
  }
  void close_session() {
    EXPECT_EQ(runtime::Session::live_handles(), 0) << "handles were not unregistered";
    session_.reset();
  }
  void TearDown() override { close_session(); }

  /// Times by which StarPU's schedulers place tasks in tests; the figures do not matter.
  partition::CostModel model{partition::Machine{}};

 private:
  std::unique_ptr<runtime::Session> session_;
};

}  // namespace hpdlf::test
