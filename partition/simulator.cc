#include "partition/simulator.hpp"

#include <algorithm>
#include <queue>
#include <utility>

#include "partition/dependences.hpp"
#include "partition/memory_model.hpp"

namespace hpdlf::partition {
namespace {

/// Workers that take tasks from one queue, highest priority first, then in order of submission. A rank's link is a pool of one.
struct Pool {
  using Entry = std::pair<int, TaskId>;  // (-priority, task)
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
  std::priority_queue<int, std::vector<int>, std::greater<>> idle;
};

class Replay {
 public:
  Replay(const TaskGraph& graph, const CostModel& model)
      : graph_(graph),
        model_(model),
        dependences_(graph),
        memory_(graph),
        waits_for_(graph.tasks.size()),
        runs_on_(graph.tasks.size()) {
    const int workers = model.machine().workers;
    pools_.resize(2 * static_cast<std::size_t>(graph.ranks));
    for (std::size_t p = 0; p < pools_.size(); ++p)
      for (int w = 0; w < (is_link(p) ? 1 : workers); ++w) pools_[p].idle.push(w);
    result_.kept_bytes = memory_.peak_bytes();  // no task has started
    result_.busy.assign(static_cast<std::size_t>(graph.ranks * workers), 0);
    result_.peak_at.assign(static_cast<std::size_t>(graph.ranks), 0);
    result_.start.assign(graph.tasks.size(), 0);
    result_.finish.assign(graph.tasks.size(), 0);
  }

  Prediction run() {
    for (std::size_t t = 0; t < graph_.tasks.size(); ++t) {
      waits_for_[t] = dependences_.predecessors(t);
      if (waits_for_[t] == 0) make_ready(static_cast<TaskId>(t));
    }
    start_ready_tasks(0);
    while (!running_.empty()) {
      const double now = running_.top().first;
      for (; !running_.empty() && running_.top().first == now; running_.pop())
        end(running_.top().second);
      start_ready_tasks(now);
      result_.seconds = now;
    }
    result_.peak_bytes = memory_.peak_bytes();
    return std::move(result_);
  }

 private:
  static std::size_t at(TaskId task) { return static_cast<std::size_t>(task); }
  static bool is_link(std::size_t pool) { return pool % 2 == 1; }
  std::size_t pool_of(TaskId task) const {
    const Task& t = graph_.tasks[at(task)];
    return 2 * static_cast<std::size_t>(t.rank) + (t.to_rank >= 0 ? 1 : 0);
  }
  void make_ready(TaskId task) {
    pools_[pool_of(task)].ready.push({-graph_.tasks[at(task)].priority, task});
  }

  void start_ready_tasks(double now) {
    for (std::size_t p = 0; p < pools_.size(); ++p)
      while (!pools_[p].ready.empty() && !pools_[p].idle.empty()) {
        const TaskId task = pools_[p].ready.top().second;
        const int worker = pools_[p].idle.top();
        pools_[p].ready.pop();
        pools_[p].idle.pop();
        start(task, p, worker, now);
      }
  }

  void start(TaskId id, std::size_t pool, int worker, double now) {
    const Task& task = graph_.tasks[at(id)];
    const double seconds = model_.seconds(task);
    note_peak(task, now);
    runs_on_[at(id)] = worker;
    result_.start[at(id)] = now;
    result_.finish[at(id)] = now + seconds;
    running_.push({now + seconds, id});
    if (is_link(pool))
      result_.transferred_bytes += graph_.tile(task.access.front().tile).bytes();
    else
      result_.busy[static_cast<std::size_t>(task.rank * model_.machine().workers + worker)] +=
          seconds;
  }

  void note_peak(const Task& task, double now) {
    const auto rank = static_cast<std::size_t>(task.to_rank >= 0 ? task.to_rank : task.rank);
    const std::int64_t before = memory_.peak_bytes()[rank];
    memory_.start(task);
    if (memory_.peak_bytes()[rank] > before) result_.peak_at[rank] = now;
  }

  void end(TaskId id) {
    memory_.end(graph_.tasks[at(id)]);
    pools_[pool_of(id)].idle.push(runs_on_[at(id)]);
    for (const TaskId next : dependences_.successors(at(id)))
      if (--waits_for_[at(next)] == 0) make_ready(next);
  }

  using Event = std::pair<double, TaskId>;  // (end, task)
  const TaskGraph& graph_;
  const CostModel& model_;
  Dependences dependences_;
  MemoryMeter memory_;
  std::vector<int> waits_for_, runs_on_;
  std::vector<Pool> pools_;  // [2 * rank] its workers, [2 * rank + 1] what it sends
  std::priority_queue<Event, std::vector<Event>, std::greater<>> running_;
  Prediction result_;
};

}  // namespace

Prediction simulate(const TaskGraph& graph, const CostModel& model) {
  return Replay(graph, model).run();
}

int useful_workers(const TaskGraph& graph, const Prediction& prediction) {
  using Event = std::pair<double, int>;  // (time, +1 a task starts or -1 ends)
  std::vector<std::vector<Event>> events(static_cast<std::size_t>(graph.ranks));
  for (std::size_t t = 0; t < graph.tasks.size(); ++t) {
    if (graph.tasks[t].to_rank >= 0) continue;  // the link's
    auto& own = events[static_cast<std::size_t>(graph.tasks[t].rank)];
    own.emplace_back(prediction.start[t], +1);
    own.emplace_back(prediction.finish[t], -1);
  }
  int most = 0;
  for (auto& own : events) {
    std::sort(own.begin(), own.end());  // at one time ends come before starts
    std::vector<double> seconds;        // [k] with more than k tasks running
    std::size_t running = 0;
    double since = 0;
    for (const auto& [time, change] : own) {
      if (seconds.size() < running) seconds.resize(running);
      for (std::size_t k = 0; k < running; ++k) seconds[k] += time - since;
      since = time;
      running += static_cast<std::size_t>(change);
    }
    const auto few = std::find_if(seconds.begin(), seconds.end(),
                                  [&](double s) { return 2 * s < prediction.seconds; });
    most = std::max(most, static_cast<int>(few - seconds.begin()));
  }
  return most;
}

}  // namespace hpdlf::partition
