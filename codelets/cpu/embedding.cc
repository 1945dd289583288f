// Lookup of rows and its gradient on the CPU: copies and sums of rows. Formulas: graph/ops/embedding.cc.
// A tile may hold a part of the table's rows only; it leaves the others to the tiles that hold them.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "codelets/cpu/labels.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {
namespace {

/// body(row, at) for every position: `row` of the table's tile, -1 if another tile holds it; `at` the offset of the position in `rows`.
/// @throws Error for an index that is no row of the whole table.
template <class Body>
void for_each_index(const TensorView& indices, const TensorView& rows, const TensorView& table,
                    const Body& body) {
  HPDLF_ASSERT(rows.extents.back() == 1 || (rows.strides.back() == 1 && table.strides[1] == 1),
               "rows whose elements lie {} and {} apart", rows.strides.back(), table.strides[1]);
  const TensorView firsts = at_index(rows, rows.rank() - 1, 0);
  const Rows walk({&indices, &firsts});
  const std::int64_t lowest = table.origin[0], count = table.extents[0], whole = table.whole[0];
  walk.for_each([&](const std::int64_t* at) {
    for (std::int64_t i = 0; i < walk.length(); ++i) {
      const std::int64_t index = label_at(indices, at[0] + i * walk.stride(0));
      HPDLF_CHECK(index >= 0 && index < whole, "index {} of a table of {} rows", index, whole);
      const std::int64_t row = index - lowest;
      body(row < 0 || row >= count ? -1 : row, at[1] + i * walk.stride(1));
    }
  });
}

template <class T>
void gather_rows(const KernelArgs& args) {
  const TensorView &table = args.in(0), &y = args.out(0);
  const std::int64_t columns = y.extents.back();
  for_each_index(args.in(1), y, table, [&](std::int64_t row, std::int64_t at) {
    T* to = y.as<T>() + at;
    const T* from = table.as<T>() + std::max<std::int64_t>(row, 0) * table.strides[0];
    if (row >= 0 && args.accumulate)
      for (std::int64_t c = 0; c < columns; ++c)
        to[c] = T(static_cast<float>(to[c]) + static_cast<float>(from[c]));
    else if (row >= 0)
      std::copy_n(from, columns, to);
    else if (!args.accumulate)
      std::fill_n(to, columns, T(0.0F));
  });
}

void gather(const KernelArgs& args) {
  if (args.in(0).dtype == DType::bf16) return gather_rows<bfloat16>(args);
  gather_rows<float>(args);
}

void gather_grad(const KernelArgs& args) {
  const TensorView &dy = args.in(1), &dtable = args.out(0);
  if (!args.accumulate) fill_zero(dtable);
  const std::int64_t columns = dy.extents.back();
  for_each_index(args.in(0), dy, dtable, [&](std::int64_t row, std::int64_t at) {
    if (row < 0) return;
    const float* from = dy.as<float>() + at;
    float* to = dtable.as<float>() + row * dtable.strides[0];
    for (std::int64_t c = 0; c < columns; ++c) to[c] += from[c];
  });
}

}  // namespace

void register_embedding_cpu(KernelRegistry& registry) {
  registry.add({.op = "Gather", .variant = "plain", .run = gather});
  registry.add({.op = "GatherGrad", .variant = "plain", .run = gather_grad});
}

}  // namespace hpdlf::codelets
