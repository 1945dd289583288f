#include "runtime/paused_workers.hpp"

#include <starpu.h>

namespace hpdlf::runtime {

PausedWorkers::PausedWorkers() : paused_(starpu_is_initialized() != 0) {
  if (paused_) starpu_pause();
}

PausedWorkers::~PausedWorkers() {
  if (paused_) starpu_resume();
}

}  // namespace hpdlf::runtime
