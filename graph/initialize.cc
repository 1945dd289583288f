#include "graph/initialize.hpp"

#include "base/element.hpp"
#include "base/hash.hpp"
#include "base/philox.hpp"

namespace hpdlf::graph {
namespace {

double initial_number(const Initializer& init, const Philox& random, std::uint64_t index) {
  switch (init.kind) {
    case Initializer::Kind::constant:
      return init.a;
    case Initializer::Kind::uniform:
      return init.a + (init.b - init.a) * random.uniform(index);
    case Initializer::Kind::normal:
      return init.a + init.b * random.normal(index);
    case Initializer::Kind::none:
      break;
  }
  return 0;
}

/// Moves `index` to the next one of `region` in row-major order; false after the last.
bool advance(Extents& index, const Box& region) {
  for (int i = region.rank() - 1; i >= 0; --i) {
    if (++index[i] < region.hi[i]) return true;
    index[i] = region.lo[i];
  }
  return false;
}

}  // namespace

void fill_initial(const Value& value, std::uint64_t seed, const Box& region, void* out) {
  HPDLF_ASSERT(Box::whole(value.type.extents).contains(region), "region {} of `{}`, which is {}",
               to_string(region), value.name, to_string(value.type));
  if (region.is_empty()) return;
  const Philox random(Hash().add(static_cast<std::int64_t>(seed)).add(value.name).value());
  const Extents strides = dense_strides(value.type.extents);
  Extents index = region.lo;
  std::int64_t at = 0;
  do {
    std::int64_t global = 0;
    for (int i = 0; i < index.rank(); ++i) global += index[i] * strides[i];
    const double number = initial_number(value.init, random, static_cast<std::uint64_t>(global));
    store_element(out, value.type.dtype, at++, number);
  } while (advance(index, region));
}

}  // namespace hpdlf::graph
