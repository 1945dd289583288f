#include "partition/strategies/strategy.hpp"

namespace hpdlf::partition {

Cutting whole_cutting(const Situation& s) {
  Cutting cutting{.name = "whole"};
  if (s.ranks == 1) return cutting;
  const char axis = s.extent('n') >= s.ranks ? 'n' : s.outer_axis();
  if (axis != '\0') cutting.parts[axis] = s.ranks;
  return cutting;
}

}  // namespace hpdlf::partition
