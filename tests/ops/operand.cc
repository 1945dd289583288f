#include "tests/ops/operand.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <span>

#include "base/element.hpp"
#include "base/hash.hpp"
#include "base/philox.hpp"
#include "support/tolerance.hpp"

namespace hpdlf::test {
namespace {

constexpr int kPoison = 0x7f;

double rounded(double value, DType dtype) {
  std::byte element[8];
  store_element(element, dtype, 0, value);
  return load_element(element, dtype, 0);
}

/// Numbers (i + 1/2) / n of (a, b) in random order.
void draw_distinct(RefTensor& tensor, double a, double b, const Philox& random) {
  const std::int64_t n = tensor.elements();
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = n - 1; i > 0; --i)
    std::swap(order[static_cast<std::size_t>(i)],
              order[random(static_cast<std::uint64_t>(i))[0] % static_cast<std::size_t>(i + 1)]);
  for (std::int64_t i = 0; i < n; ++i)
    tensor[i] = a + (b - a) * (static_cast<double>(order[static_cast<std::size_t>(i)]) + 0.5) /
                        static_cast<double>(n);
}

double draw_one(const Draw& draw, const Philox& random, std::uint64_t i) {
  const double u = random.uniform(i);
  switch (draw.kind) {
    case Draw::Kind::labels:
      return std::floor(u * draw.a);
    case Draw::Kind::constant:
      return draw.a;
    case Draw::Kind::nonzero:
      return (draw.a + (draw.b - draw.a) * u) * (random.uniform(i, 1) < 0.5F ? -1 : 1);
    case Draw::Kind::uniform:
    case Draw::Kind::distinct:
      break;
  }
  return draw.a + (draw.b - draw.a) * u;
}

RefTensor draw_tensor(const InputCase& input, const std::string& name) {
  const Philox random(Hash().add(name).value());
  RefTensor tensor(input.extents);
  if (input.draw.kind == Draw::Kind::distinct)
    draw_distinct(tensor, input.draw.a, input.draw.b, random);
  else
    for (std::int64_t i = 0; i < tensor.elements(); ++i)
      tensor[i] = draw_one(input.draw, random, static_cast<std::uint64_t>(i));
  for (auto& x : tensor.data) x = rounded(x, input.dtype);
  return tensor;
}

}  // namespace

std::vector<RefTensor> draw_inputs(const OpCase& op_case) {
  std::vector<RefTensor> inputs;
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i)
    inputs.push_back(
        draw_tensor(op_case.inputs[i], fmt::format("{}/{}/{}", op_case.op, op_case.name, i)));
  if (!op_case.derive) return inputs;
  op_case.derive(inputs);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    for (auto& x : inputs[i].data) x = rounded(x, op_case.inputs[i].dtype);
  return inputs;
}

RefTensor draw_uniform(const graph::TensorType& type, const std::string& name) {
  return draw_tensor({.dtype = type.dtype, .extents = type.extents}, name);
}

Operand::Operand(const graph::TensorType& type, std::int64_t padding) {
  Extents allocated = type.extents;
  for (int i = 1; i + 1 < allocated.rank(); ++i) allocated[i] += padding;
  const std::size_t bytes = static_cast<std::size_t>(allocated.elements()) * size_of(type.dtype);
  storage_.resize(bytes / sizeof(CacheLine) + 1);
  std::memset(storage_.data(), kPoison, storage_.size() * sizeof(CacheLine));
  view_ = TensorView::dense(storage_.data(), type.dtype, type.extents);
  view_.strides = dense_strides(allocated);
}

Operand::Operand(const graph::TensorType& type, const RefTensor& values, const Box& region,
                 std::int64_t padding)
    : Operand(type, padding) {
  for_each_index(region.extents(), [&](Extents index) {
    for (int i = 0; i < index.rank(); ++i) index[i] += region.lo[i];
    set(index, values.at(index));
  });
}

std::int64_t Operand::offset(const Extents& index) const {
  std::int64_t at = 0;
  for (int i = 0; i < index.rank(); ++i) at += index[i] * view_.strides[i];
  return at;
}

double Operand::at(const Extents& index) const {
  return load_element(view_.data, view_.dtype, offset(index));
}

void Operand::set(const Extents& index, double value) {
  store_element(view_.data, view_.dtype, offset(index), value);
}

bool Operand::is_untouched_outside(const Box& region) const {
  std::vector<CacheLine> lines = storage_;
  const std::span rest(lines.front().bytes, lines.size() * sizeof(CacheLine));
  const std::size_t size = size_of(view_.dtype);
  for_each_index(region.extents(), [&](Extents index) {
    for (int i = 0; i < index.rank(); ++i) index[i] += region.lo[i];
    std::memset(rest.data() + static_cast<std::size_t>(offset(index)) * size, kPoison, size);
  });
  return std::all_of(rest.begin(), rest.end(), [](std::byte b) { return b == std::byte{kPoison}; });
}

testing::AssertionResult is_near(const RefTensor& actual, const RefTensor& expected, DType rounding,
                                 std::int64_t terms, double slack) {
  double scale = 0;
  for (const double x : expected.data) scale = std::max(scale, std::abs(x));
  const double denormal =
      rounding == DType::f64 ? 0x1p-1022 : 0x1p-126;  // results below may be flushed to zero
  const double bound = std::max(error_bound("cpu", rounding, terms, scale > 0 ? scale : 1, slack),
                                is_float(rounding) ? denormal : 0);
  double worst = -1;
  Extents where;
  for_each_index(expected.extents, [&](const Extents& index) {
    double error = std::abs(actual.at(index) - expected.at(index));
    if (!std::isfinite(error)) error = std::numeric_limits<double>::infinity();
    if (error <= worst) return;
    worst = error;
    where = index;
  });
  if (worst <= bound) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << fmt::format("at {} of {}: {:.9g}, expected {:.9g}; the error {:.3g} is above {:.3g}",
                        to_string(where), to_string(expected.extents), actual.at(where),
                        expected.at(where), worst, bound);
}

RefTensor content(const Operand& operand, const Extents& extents) {
  RefTensor tensor(extents);
  for_each_index(extents, [&](const Extents& index) { tensor.at(index) = operand.at(index); });
  return tensor;
}

}  // namespace hpdlf::test
