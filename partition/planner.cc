#include "partition/planner.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "base/units.hpp"
#include "partition/lower.hpp"
#include "partition/simulator.hpp"
#include "partition/strategies/strategy.hpp"

namespace hpdlf::partition {
namespace {

struct Candidate {
  std::string name;
  Plan plan;
  double seconds = 0;      ///< of a step
  std::int64_t bytes = 0;  ///< of the fullest rank
  std::int64_t kept = 0;   ///< of these: what it keeps between steps
  std::size_t tasks = 0;
  int useful_workers = 0;
  std::size_t order = 0;  ///< of its proposal
  bool has_text = true;   ///< the user may ask for it by its name
};

std::string in_mib(std::int64_t bytes) { return fmt::format("{:.1f} MiB", mib(bytes)); }
std::string ms(double seconds) {
  return fmt::format("{:.{}f} ms", seconds * 1e3, seconds < 0.1 ? 2 : 0);
}

class Planner {
 public:
  Planner(const std::shared_ptr<const graph::Graph>& graph, const CostModel& model)
      : graph_(graph),
        model_(model),
        factors_(factor_roles(*graph)),
        situation_(look_at(*graph, factors_, model.machine())) {}

  Plan make(const std::string& strategy) {
    if (strategy == "auto") return search();
    Candidate only = evaluate(cutting_of(strategy));
    if (!fits(only)) fail_memory(only, strategy);
    return finish(std::move(only), strategy, "as asked for");
  }

 private:
  Cutting cutting_of(const std::string& strategy) const {
    for (const Strategy& named : named_strategies())
      if (named.name == strategy) return named.cutting(situation_);
    return explicit_cutting(strategy, situation_);
  }

  Candidate evaluate(const Cutting& cutting) const {
    return evaluate(cutting.name, apply(cutting, situation_), model_);
  }

  Candidate evaluate(std::string name, Plan plan, const CostModel& model) const {
    const TaskGraph tasks = lower(graph_, plan, model);
    const Prediction prediction = simulate(tasks, model);
    const auto fullest =
        std::max_element(prediction.peak_bytes.begin(), prediction.peak_bytes.end());
    const auto rank = static_cast<std::size_t>(fullest - prediction.peak_bytes.begin());
    return {.name = std::move(name),
            .plan = std::move(plan),
            .seconds = prediction.seconds,
            .bytes = *fullest,
            .kept = prediction.kept_bytes[rank],
            .tasks = tasks.tasks.size(),
            .useful_workers = useful_workers(tasks, prediction)};
  }

  bool fits(const Candidate& c) const {
    return model_.machine().memory_bytes == 0 || c.bytes <= model_.machine().memory_bytes;
  }

  /// Everything the strategies propose, each different plan once, as `model` predicts it.
  std::vector<Candidate> candidates(const CostModel& model) const {
    std::vector<Cutting> cuttings;
    for (const Strategy& named : named_strategies()) cuttings.push_back(named.cutting(situation_));
    for (Cutting& c : mixed_cuttings(situation_)) cuttings.push_back(std::move(c));
    std::vector<std::vector<std::vector<int>>> seen;
    std::vector<Candidate> found;
    for (const Cutting& cutting : cuttings) {
      Plan plan = apply(cutting, situation_);
      std::vector<std::vector<int>> parts;
      for (const NodePlan& node : plan.nodes) parts.push_back(node.parts);
      if (std::find(seen.begin(), seen.end(), parts) != seen.end()) continue;
      seen.push_back(std::move(parts));
      found.push_back(evaluate(cutting.name, std::move(plan), model));
      found.back().order = found.size();
      found.back().has_text = cutting.has_text();
    }
    return found;
  }

  /// Of candidates by rooflines those that come near the fastest, with measured times, and those that do not fit in memory as they are:
  /// kernels are measured for what may be chosen. If none fits any more the slower ones follow, until one does. All ranks measure the same
  /// in the same order.
  std::vector<Candidate> measured(std::vector<Candidate> rough) const {
    constexpr double kNear = 1.1;
    std::stable_sort(rough.begin(), rough.end(), is_faster);
    double least = std::numeric_limits<double>::infinity();
    std::vector<Candidate> found;
    bool one_fits = false;
    for (Candidate& c : rough) {
      if (!fits(c)) {
        found.push_back(std::move(c));
        continue;
      }
      least = std::min(least, c.seconds);
      if (one_fits && c.seconds > kNear * least) continue;
      found.push_back(evaluate(c.name, std::move(c.plan), model_));
      found.back().order = c.order;
      found.back().has_text = c.has_text;
      one_fits = one_fits || fits(found.back());
      spdlog::debug("plan \"{}\": {} by rooflines, {} as measured", c.name, ms(c.seconds),
                    ms(found.back().seconds));
    }
    return found;
  }

  Plan search() const {
    const std::vector<Candidate> rough = candidates(model_.without_times());
    std::vector<Candidate> all = model_.has_times() ? measured(rough) : rough;
    std::stable_sort(all.begin(), all.end(), is_faster);
    const auto first =
        std::find_if(all.begin(), all.end(), [&](const Candidate& c) { return fits(c); });
    if (first == all.end())
      fail_memory(*std::min_element(all.begin(), all.end(), less_bytes), "auto");
    // Closer than the cost model can tell: what was proposed first wins, the plainer plan.
    constexpr double kTie = 1.005;
    auto best = first;
    for (auto c = first; c != all.end() && c->seconds <= kTie * first->seconds; ++c)
      if (fits(*c) && c->order < best->order) best = c;
    const auto next = std::find_if(all.begin(), all.end(), [&](const Candidate& c) {
      return fits(c) && c.name != best->name;
    });
    std::string why = fmt::format("fastest of {} candidates", rough.size());
    if (next != all.end())
      why += fmt::format(", next is \"{}\" with {}", next->name, ms(next->seconds));
    return finish(std::move(*best), "auto", why);
  }

  static bool is_faster(const Candidate& a, const Candidate& b) { return a.seconds < b.seconds; }
  static bool less_bytes(const Candidate& a, const Candidate& b) { return a.bytes < b.bytes; }

  Plan finish(Candidate chosen, const std::string& strategy, const std::string& why) const {
    Plan plan = std::move(chosen.plan);
    plan.machine = model_.machine().name;
    plan.strategy = strategy;
    plan.reason =
        fmt::format("\"{}\", {}: {} a step and {} a rank predicted, {} tasks", chosen.name, why,
                    ms(chosen.seconds), in_mib(chosen.bytes), chosen.tasks) +
        idle_workers(chosen, strategy);
    return plan;
  }

  /// Says so if some workers have nothing to do for most of a step.
  std::string idle_workers(const Candidate& chosen, const std::string& strategy) const {
    const int workers = model_.machine().workers,
              idle = workers - std::max(1, chosen.useful_workers);
    if (idle <= 0) return "";
    return fmt::format("; {} of {} workers have nothing to do for most of a step: {}", idle,
                       workers,
                       strategy == "auto" ? "the net has no more useful tiles"
                                          : "this strategy makes too few tiles");
  }

  /// @param least what the strategy needs at least.
  [[noreturn]] void fail_memory(const Candidate& least, const std::string& strategy) const {
    const std::int64_t limit = model_.machine().memory_bytes;
    Error error(fmt::format(
        "strategy \"{}\" needs at least {} a rank, but only {} may be used: {} are missing",
        strategy, in_mib(least.bytes), in_mib(limit), in_mib(least.bytes - limit)));
    error.set_hint(what_would_fit(strategy, least));
    throw error;
  }

  std::string what_would_fit(const std::string& strategy, const Candidate& least) const {
    if (strategy != "auto") {
      const std::vector<Candidate> all = candidates(model_.without_times());
      const auto smallest = std::min_element(all.begin(), all.end(), less_bytes);
      if (fits(*smallest))
        return smallest->has_text ? fmt::format("strategy \"{}\" needs {}", smallest->name,
                                                in_mib(smallest->bytes))
                                  : fmt::format("strategy \"auto\" knows a plan that needs {}",
                                                in_mib(smallest->bytes));
    }
    const std::int64_t room = model_.machine().memory_bytes - least.kept;
    if (room <= 0)
      return fmt::format(
          "{} a rank are parameters and what else is kept between steps, whatever the batch: more "
          "ranks or a smaller net would fit",
          in_mib(least.kept));
    const double times = static_cast<double>(least.bytes - least.kept) / static_cast<double>(room);
    return fmt::format("a batch or patch about {:.1f} times smaller, or more ranks, would fit",
                       std::ceil(10 * times) / 10);
  }

  std::shared_ptr<const graph::Graph> graph_;
  const CostModel& model_;
  std::vector<NodeFactors> factors_;
  Situation situation_;
};

}  // namespace

Plan make_plan(const std::shared_ptr<const graph::Graph>& graph, const CostModel& model,
               const PlanRequest& request) {
  return Planner(graph, model).make(request.strategy);
}

}  // namespace hpdlf::partition
