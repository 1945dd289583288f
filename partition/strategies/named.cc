#include <array>

#include "partition/planner.hpp"
#include "partition/strategies/strategy.hpp"

namespace hpdlf::partition {

std::span<const Strategy> named_strategies() {
  static constexpr std::array<Strategy, 5> kStrategies{{{"whole", whole_cutting},
                                                        {"sample", sample_cutting},
                                                        {"space", space_cutting},
                                                        {"tensor", tensor_cutting},
                                                        {"channel", channel_cutting}}};
  return kStrategies;
}

std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  for (const Strategy& strategy : named_strategies()) names.emplace_back(strategy.name);
  return names;
}

}  // namespace hpdlf::partition
