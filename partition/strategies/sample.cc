#include "partition/strategies/strategy.hpp"

namespace hpdlf::partition {

Cutting sample_cutting(const Situation& s) {
  return {.name = "sample", .parts = {{'n', s.ranks * s.workers}}};
}

}  // namespace hpdlf::partition
