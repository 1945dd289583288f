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
double anneal(double a, double b, double at) { return b + (a - b) / 2 * (1 + std::cos(std::numbers::pi * at)); }

double one_cycle(const ScheduleOptions& o, double step, double steps) {
  const double start = o.peak / o.start_divisor;
  const double top = o.warmup * steps - 1;  // the step of the peak, as PyTorch counts
  if (step <= top) return anneal(start, o.peak, top > 0 ? step / top : 1);
  return anneal(o.peak, start / o.final_divisor, (step - top) / std::max(1.0, steps - 1 - top));
}

double cosine(const ScheduleOptions& o, double step, double steps) {
  const double top = o.warmup * steps;
  if (step < top) return o.peak * (step + 1) / top;
  return anneal(o.peak, 0, (step - top) / std::max(1.0, steps - top));
}

}  // namespace

double learning_rate(const ScheduleOptions& o, std::int64_t step, std::int64_t steps) {
  if (o.name == "constant") return o.peak;
  if (o.name == "one_cycle") return one_cycle(o, static_cast<double>(step), static_cast<double>(steps));
  if (o.name == "cosine") return cosine(o, static_cast<double>(step), static_cast<double>(steps));
  static const std::vector<std::string> kSchedules{"constant", "one_cycle", "cosine"};
  throw Error(fmt::format("unknown learning-rate schedule `{}`{}", o.name, did_you_mean(o.name, kSchedules)));
}

}  // namespace hpdlf::train
