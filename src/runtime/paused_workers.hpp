// StarPU's workers, asleep while nothing runs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hpdlf::runtime {

/// Idle workers of StarPU poll for tasks, which takes the cores from whoever plans or measures: they sleep while this lives. Pauses may be
/// nested. Nothing happens where StarPU has not been started.
class PausedWorkers {
 public:
  PausedWorkers();
  ~PausedWorkers();
  PausedWorkers(const PausedWorkers&) = delete;
  PausedWorkers& operator=(const PausedWorkers&) = delete;

 private:
  bool paused_;
};

}  // namespace hpdlf::runtime
