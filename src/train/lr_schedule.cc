#include "train/lr_schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/error.hpp"
#include "base/nearest.hpp"

namespace hpdlf::train {
namespace {

/// From `a` at 0 to `b` at 1 along half a cosine.
double anneal(double a, double b, double at) {
  return b + (a - b) / 2 * (1 + std::cos(std::numbers::pi * at));
}

/// From `start` at step 0 to `peak` at the end of the warm-up to `end` at the last step.
struct Cycle {
  double start, peak, end;
};
double cycle(const ScheduleOptions& o, const Cycle& c, double step, double steps) {
  const double top = o.warmup * steps - 1;  // the step of the peak, as PyTorch counts
  if (step <= top) return anneal(c.start, c.peak, top > 0 ? step / top : 1);
  return anneal(c.peak, c.end, (step - top) / std::max(1.0, steps - 1 - top));
}

double one_cycle(const ScheduleOptions& o, double step, double steps) {
  const double start = o.peak / o.start_divisor;
  return cycle(o, {start, o.peak, start / o.final_divisor}, step, steps);
}

double cosine(const ScheduleOptions& o, double step, double steps) {
  const double top = o.warmup * steps;
  if (step < top) return o.peak * (step + 1) / top;
  return anneal(o.peak, 0, (step - top) / std::max(1.0, steps - top));
}

}  // namespace

double learning_rate(const ScheduleOptions& o, std::int64_t step, std::int64_t steps) {
  if (o.name == "constant") return o.peak;
  if (o.name == "one_cycle")
    return one_cycle(o, static_cast<double>(step), static_cast<double>(steps));
  if (o.name == "cosine") return cosine(o, static_cast<double>(step), static_cast<double>(steps));
  static const std::vector<std::string> kSchedules{"constant", "one_cycle", "cosine"};
  throw Error(fmt::format("unknown learning-rate schedule `{}`{}", o.name,
                          did_you_mean(o.name, kSchedules)));
}

double cycled_momentum(const ScheduleOptions& o, std::int64_t step, std::int64_t steps) {
  return cycle(o, {o.high_momentum, o.low_momentum, o.high_momentum}, static_cast<double>(step),
               static_cast<double>(steps));
}

}  // namespace hpdlf::train
