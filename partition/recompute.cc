#include "partition/recompute.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <set>
#include <utility>

#include "base/nearest.hpp"
#include "base/units.hpp"
#include "graph/op_spec.hpp"
#include "graph/passes/pass.hpp"
#include "partition/lower.hpp"
#include "partition/recompute_sites.hpp"
#include "partition/waits.hpp"

namespace hpdlf::partition {
namespace {

using graph::ValueId;

/// Less is not worth a task: share of the peak that a copy must save.
constexpr double kLeastShare = 1e-3;
/// Simulated steps at most, and how many in a row may fail to lower the peak: where it is reached more than once, each
/// place needs a copy of its own before it falls.
constexpr int kMostTrials = 300, kPatience = 12;
/// What may be lost on the way: the simulated order of tasks changes with every copy.
constexpr double kSlack = 1.005;

/// Shares of the time that are tried: what is tight early on takes other sites, and at times ends lower.
constexpr double kShares[] = {1, 2.0 / 3, 1.0 / 3};

/// A graph with copies, planned and simulated.
struct Trial {
  std::shared_ptr<const graph::Graph> graph;
  std::vector<graph::NodeCopy> copies;
  Plan plan;
  TaskGraph tasks;
  Prediction prediction;
  [[nodiscard]] std::int64_t bytes() const {
    return *std::max_element(prediction.peak_bytes.begin(), prediction.peak_bytes.end());
  }
};

class Saver {
 public:
  Saver(const std::shared_ptr<const graph::Graph>& graph, const Plan& plan, const CostModel& model,
        const RecomputeRequest& request)
      : base_(plan), model_(model), request_(request) {
    for (std::size_t n = 0; n < plan.nodes.size(); ++n)
      cut_of_[graph->nodes()[n].outputs[0]] = plan.nodes[n];
    now_ = best_ = simulated(graph, {});
    first_bytes_ = now_.bytes();
    first_seconds_ = now_.prediction.seconds;
  }

  Recomputation run() {
    int in_vain = 0;
    while (!is_enough(best_.bytes()) && in_vain < kPatience && step()) {
      ++in_vain;
      if (now_.bytes() >= best_.bytes()) continue;
      best_ = now_;
      in_vain = 0;
    }
    best_.plan.reason = base_.reason + in_words();
    return {best_.graph, best_.plan, best_.bytes(), best_.prediction.seconds};
  }

 private:
  [[nodiscard]] bool is_enough(std::int64_t bytes) const {
    return request_.enough_bytes > 0 && bytes <= request_.enough_bytes;
  }
  [[nodiscard]] bool must_fit(std::int64_t bytes) const {
    return model_.machine().memory_bytes > 0 && bytes > model_.machine().memory_bytes;
  }

  /// Takes the best offer that holds what it promises. @returns false if there is none
  bool step() {
    const auto least = static_cast<std::int64_t>(kLeastShare * static_cast<double>(now_.bytes()));
    for (const SiteOffer& offer : recompute_offers(now_.tasks, now_.prediction, model_, least)) {
      const auto& node = now_.graph->node(offer.site.producer);
      const std::string key =
          fmt::format("{} before {}, {}", node.name, now_.graph->node(offer.site.reader).name,
                      offer.site.depth);
      if (refused_.count(key) > 0) continue;
      if (++trials_ > kMostTrials) return false;
      auto graph = std::make_shared<graph::Graph>(*now_.graph);
      std::vector<graph::NodeCopy> copies = now_.copies;
      for (const auto& copy : graph::recompute(*graph, offer.site)) {
        cut_of_[copy.copy] = cut_of_.at(copy.original);
        copies.push_back(copy);
      }
      Trial trial = simulated(std::move(graph), std::move(copies));
      if (is_good(trial)) {
        now_ = std::move(trial);
        return true;
      }
      refused_.insert(key);
    }
    return false;
  }

  [[nodiscard]] bool is_good(const Trial& trial) {
    if (static_cast<double>(trial.bytes()) > kSlack * static_cast<double>(now_.bytes()))
      return false;
    if (must_fit(best_.bytes()) || trial.prediction.seconds <= request_.most_time * first_seconds_)
      return true;
    lacks_time_ |= trial.bytes() < best_.bytes();
    return false;
  }

  Trial simulated(std::shared_ptr<const graph::Graph> graph,
                  std::vector<graph::NodeCopy> copies) const {
    Trial trial{std::move(graph), std::move(copies), base_, {}, {}};
    Plan& plan = trial.plan;
    plan.nodes.clear();
    for (const auto& node : trial.graph->nodes()) plan.nodes.push_back(cut_of_.at(node.outputs[0]));
    const auto awaited = awaited_values(*trial.graph);
    for (std::size_t n = 0; n < awaited.size(); ++n) plan.nodes[n].after = awaited[n];
    for (const auto& c : trial.copies)
      plan.recomputed.push_back(trial.graph->node(trial.graph->value(c.copy).producer).name);
    plan.graph_fingerprint = fmt::format("{:016x}", trial.graph->fingerprint());
    trial.tasks = lower(trial.graph, plan, model_);
    trial.prediction = simulate(trial.tasks, model_);
    return trial;
  }

  [[nodiscard]] std::string why_nothing() const {
    if (is_enough(first_bytes_))
      return fmt::format("; nothing need be computed twice: a step holds {:.1f} of {:.1f} MiB",
                         mib(first_bytes_), mib(request_.enough_bytes));
    if (lacks_time_)
      return fmt::format(
          "; computing results twice would lower the peak, but take more than the {:+.0f} % of "
          "time that it may",
          (request_.most_time - 1) * 100);
    return "; computing anything twice would not lower the peak";
  }

  [[nodiscard]] std::string in_words() const {
    if (best_.copies.empty()) return why_nothing();
    std::map<std::string, int> count;
    for (const auto& c : best_.copies)
      ++count[best_.graph->node(best_.graph->value(c.copy).producer).spec->name];
    std::vector<std::string> kinds;
    for (const auto& [op, n] : count) kinds.push_back(fmt::format("{} {}", n, op));
    const double seconds = best_.prediction.seconds;
    return fmt::format(
        "; computes {} results twice rather than keep them ({}): {:.1f} MiB instead of {:.1f}, "
        "{:.1f} "
        "ms a step instead of {:.1f} ({:+.0f} %)",
        best_.copies.size(), fmt::join(kinds, ", "), mib(best_.bytes()), mib(first_bytes_),
        seconds * 1e3, first_seconds_ * 1e3, (seconds / first_seconds_ - 1) * 100);
  }

  const Plan& base_;
  const CostModel& model_;
  const RecomputeRequest& request_;
  std::map<ValueId, NodePlan> cut_of_;  // [first output of a node]
  Trial now_, best_;
  std::int64_t first_bytes_ = 0;
  double first_seconds_ = 0;
  std::set<std::string> refused_;
  bool lacks_time_ = false;  // one of them would have lowered the peak
  int trials_ = 0;
};

/// Less than is enough is worth nothing.
bool is_better(const Recomputation& a, const Recomputation& b, std::int64_t enough) {
  const std::int64_t bytes_a = std::max(a.peak_bytes, enough);
  const std::int64_t bytes_b = std::max(b.peak_bytes, enough);
  return std::pair(bytes_a, a.seconds) < std::pair(bytes_b, b.seconds);
}

}  // namespace

Recompute recompute_from(const std::string& name) {
  if (name == "off") return Recompute::off;
  HPDLF_CHECK(name == "auto", "recompute \"{}\" is neither off nor auto{}", name,
              did_you_mean(name, std::vector<std::string>{"off", "auto"}));
  return Recompute::automatic;
}

Recomputation save_memory(const std::shared_ptr<const graph::Graph>& graph, const Plan& plan,
                          const CostModel& model, const RecomputeRequest& request) {
  Recomputation best;
  for (const double share : kShares) {
    const RecomputeRequest part{.most_time = 1 + share * (request.most_time - 1),
                                .enough_bytes = request.enough_bytes};
    Recomputation next = Saver(graph, plan, model, part).run();
    if (best.graph == nullptr || is_better(next, best, request.enough_bytes))
      best = std::move(next);
  }
  return best;
}

}  // namespace hpdlf::partition
