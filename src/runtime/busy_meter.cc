#include "runtime/busy_meter.hpp"

#include <algorithm>

#include "base/median.hpp"

namespace hpdlf::runtime {

BusyMeter::BusyMeter(int workers) : shares_(static_cast<std::size_t>(workers)) {}

void BusyMeter::add_step(std::span<const TaskTime> times) {
  if (times.empty()) return;
  if (!last_.empty()) {
    const std::vector<double> last = last_shares(times);
    for (std::size_t w = 0; w < last.size(); ++w) shares_[w].push_back(last[w]);
  }
  const auto first = std::min_element(times.begin(), times.end(), [](const auto& a, const auto& b) {
    return a.start_us < b.start_us;
  });
  const auto end = std::max_element(
      times.begin(), times.end(), [](const auto& a, const auto& b) { return a.end_us < b.end_us; });
  window_ = {last_.empty() ? first->start_us : std::max(window_.end_us, first->start_us),
             end->end_us};
  last_.assign(times.begin(), times.end());
}

/// Shares of the last step, in whose time tasks of `next` may have run.
std::vector<double> BusyMeter::last_shares(std::span<const TaskTime> next) const {
  std::vector<double> busy(shares_.size());
  const double length = window_.end_us - window_.start_us;
  if (length <= 0) return busy;
  for (const auto times : {std::span<const TaskTime>(last_), next})
    for (const TaskTime& time : times) {
      const double inside =
          std::min(time.end_us, window_.end_us) - std::max(time.start_us, window_.start_us);
      if (inside > 0) busy.at(static_cast<std::size_t>(time.worker)) += inside / length;
    }
  return busy;
}

std::vector<double> BusyMeter::shares() const {
  const std::vector<double> last = last_shares({});
  std::vector<double> result;
  for (std::size_t w = 0; w < shares_.size(); ++w) {
    std::vector<double> steps = shares_[w];
    if (!last_.empty()) steps.push_back(last[w]);
    result.push_back(steady_median(std::move(steps)));
  }
  return result;
}

}  // namespace hpdlf::runtime
