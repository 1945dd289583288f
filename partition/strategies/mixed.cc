// Slabs and blocks with several tiles a worker (smaller tiles stay in cache and even out the load), and per-level mixes: an axis is cut
// only down to a thickness, and levels too thin to fill the workers have their channels cut instead.
#include "partition/strategies/strategy.hpp"

namespace hpdlf::partition {
namespace {

std::string name_of(const Cutting& c) {
  std::string name;
  for (const char role : kDataRoles)
    if (const auto found = c.parts.find(role); found != c.parts.end() && found->second > 1)
      name += fmt::format("{}{}:{}", name.empty() ? "" : " ", role, found->second);
  if (c.thickness > 1) name += fmt::format(", slabs of {} or more", c.thickness);
  if (c.refill > 1)
    name += fmt::format(", channels{} where that is too few", c.follow ? " of operands" : "");
  return name;
}

void add(std::vector<Cutting>& cuttings, Cutting c) {
  c.name = name_of(c);
  cuttings.push_back(std::move(c));
}

}  // namespace

std::vector<Cutting> mixed_cuttings(const Situation& s) {
  constexpr int kTilesAWorker[] = {1, 2, 4, 8};
  constexpr int kThickness[] = {1, 2, 4, 8};
  constexpr int kAcross[] = {2, 4, 8};  // of blocks, which have less halo than many thin slabs
  std::vector<Cutting> cuttings;
  const int everyone = s.ranks * s.workers;
  const bool ranks_by_sample = s.extent('n') >= s.ranks;
  const char outer = s.outer_axis();
  const char next = s.next_axis();
  if (s.extent('n') > s.ranks) add(cuttings, {.parts = {{'n', everyone}}, .refill = everyone});
  if (outer == '\0') return cuttings;
  const int samples = ranks_by_sample ? s.ranks : 1;
  for (const int tiles : kTilesAWorker) {
    const int slabs = (ranks_by_sample ? 1 : s.ranks) * s.workers * tiles;
    for (const int thickness : kThickness) {
      Cutting c{.parts = {{'n', samples}, {outer, slabs}}, .thickness = thickness};
      add(cuttings, c);
      if (everyone == 1) continue;
      c.refill = everyone;
      for (const bool follow : {true, false}) {
        c.follow = follow;
        add(cuttings, c);
      }
    }
    for (const int across : kAcross) {
      if (next == '\0' || slabs < across * across / 2) break;
      const std::map<char, int> blocks{
          {'n', samples}, {outer, (slabs + across - 1) / across}, {next, across}};
      add(cuttings, {.parts = blocks, .thickness = 2});
      if (everyone > 1) add(cuttings, {.parts = blocks, .thickness = 4, .refill = everyone});
    }
    if (s.extent('n') > samples)
      add(cuttings,
          {.parts = {{'n', static_cast<int>(s.extent('n'))}, {outer, slabs}}, .thickness = 2});
  }
  return cuttings;
}

}  // namespace hpdlf::partition
