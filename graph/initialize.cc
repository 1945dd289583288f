#include "graph/initialize.hpp"

#include <algorithm>

#include "base/element.hpp"
#include "base/hash.hpp"
#include "base/philox.hpp"

namespace hpdlf::graph {
namespace {

/// The numbers from `index` on.
template <class T>
void fill_run(const Initializer& init, const Philox& random, std::uint64_t index, std::int64_t n,
              T* out) {
  const auto fill = [&](const auto& number) {
    for (std::int64_t i = 0; i < n; ++i)
      out[i] = rounded<T>(number(index + static_cast<std::uint64_t>(i)));
  };
  switch (init.kind) {
    case Initializer::Kind::uniform:
      return fill([&](auto i) { return init.a + (init.b - init.a) * random.uniform(i); });
    case Initializer::Kind::normal:
      return fill([&](auto i) { return init.a + init.b * random.normal(i); });
    case Initializer::Kind::constant:
      std::fill_n(out, n, rounded<T>(init.a));
      return;
    case Initializer::Kind::none:
      std::fill_n(out, n, T{});
      return;
  }
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
  Box runs = region;  // the first element of each run along the last dimension
  const int last = region.rank() - 1;
  if (last >= 0) runs.hi[last] = runs.lo[last] + 1;
  const std::int64_t length = region.elements() / runs.elements();
  with_type(value.type.dtype, [&](auto zero) {
    auto* run = static_cast<decltype(zero)*>(out);
    Extents index = runs.lo;
    do {
      std::int64_t first = 0;
      for (int i = 0; i <= last; ++i) first += index[i] * strides[i];
      fill_run(value.init, random, static_cast<std::uint64_t>(first), length, run);
      run += length;
    } while (advance(index, runs));
  });
}

}  // namespace hpdlf::graph
