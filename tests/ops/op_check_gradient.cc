// Gradients of a case: differentiate() and the oracle against central differences of the double reference.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/element.hpp"
#include "base/philox.hpp"
#include "graph/autodiff.hpp"
#include "support/oracle.hpp"
#include "support/tolerance.hpp"
#include "tests/ops/op_check.hpp"

namespace hpdlf::test {
namespace {

constexpr double kStepSize =
    1e-5;  // truncation ~ step^2, rounding ~ 1e-16 / step: both far below f32
constexpr std::int64_t kSamples =
    10;  // single elements checked; a random direction checks all others together

Tensor stored(const graph::TensorType& type, const RefTensor& values) {
  Tensor tensor(type);
  for (std::int64_t i = 0; i < values.elements(); ++i)
    store_element(tensor.data.data(), type.dtype, i, values[i]);
  return tensor;
}

RefTensor loaded(const Tensor& tensor) {
  RefTensor values(tensor.type.extents);
  for (std::int64_t i = 0; i < values.elements(); ++i)
    values[i] = load_element(tensor.data.data(), tensor.type.dtype, i);
  return values;
}

}  // namespace

bool CheckedCase::is_differentiable(std::size_t output) const {
  const std::vector<int>& excluded = call_.spec->no_gradient_outputs;
  return is_float(call_.outputs[output].dtype) &&
         std::find(excluded.begin(), excluded.end(), static_cast<int>(output)) == excluded.end();
}

std::vector<RefTensor> CheckedCase::computed_gradients(
    const std::vector<RefTensor>& directions) const {
  graph::Graph graph(case_.name);
  std::map<graph::ValueId, Tensor> given;
  std::vector<graph::ValueId> inputs, by;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    inputs.push_back(graph.add_input(fmt::format("x{}", i), call_.inputs[i]));
    given[inputs.back()] = stored(call_.inputs[i], inputs_[i]);
  }
  for (const int i : case_.differentiate) by.push_back(inputs.at(static_cast<std::size_t>(i)));
  const graph::NodeId node = graph.add_node(case_.op, inputs, case_.attrs, "op");
  std::vector<graph::Seed> seeds;
  for (std::size_t i = 0; i < expected_.size(); ++i) {
    const graph::ValueId seed = graph.add_input(fmt::format("r{}", i), call_.outputs[i]);
    given[seed] = stored(call_.outputs[i], directions[i]);
    if (is_differentiable(i)) seeds.push_back({graph.output(node, static_cast<int>(i)), seed});
  }
  const std::vector<graph::Gradient> gradients = graph::differentiate(graph, seeds, by);
  graph::verify(graph);
  HPDLF_CHECK(gradients.size() == by.size(), "{} of {} inputs have a gradient", gradients.size(),
              by.size());

  Oracle oracle(graph, kSeed, kStep);
  oracle.step(given);
  std::vector<RefTensor> computed;
  for (const auto& gradient : gradients)
    computed.push_back(loaded(oracle.value(gradient.gradient)));
  return computed;
}

double CheckedCase::difference_quotient(int input, const RefTensor& step,
                                        const std::vector<RefTensor>& directions) const {
  const auto loss_at = [&](double distance) {
    std::vector<RefTensor> inputs = inputs_;
    RefTensor& x = inputs.at(static_cast<std::size_t>(input));
    for (std::int64_t i = 0; i < x.elements(); ++i) x[i] += distance * step[i];
    if (case_.derive) case_.derive(inputs);
    const std::vector<RefTensor> outputs = reference_outputs(inputs);
    double loss = 0;
    for (std::size_t o = 0; o < outputs.size(); ++o)
      for (std::int64_t i = 0; is_differentiable(o) && i < outputs[o].elements(); ++i)
        loss += directions[o][i] * outputs[o][i];
    return loss;
  };
  return (loss_at(kStepSize) - loss_at(-kStepSize)) / (2 * kStepSize);
}

void CheckedCase::check_gradient() const {
  std::vector<RefTensor> directions;
  std::int64_t terms = case_.terms;
  for (std::size_t i = 0; i < expected_.size(); ++i) {
    directions.push_back(draw_uniform(call_.outputs[i], fmt::format("direction{}", i)));
    terms =
        std::max(terms, expected_[i].elements());  // a gradient may sum over every output element
  }
  const std::vector<RefTensor> computed = computed_gradients(directions);
  const Philox random(29);
  for (std::size_t k = 0; k < computed.size(); ++k) {
    const RefTensor& gradient = computed[k];
    const int input = case_.differentiate[k];
    double scale = 0;
    for (const double g : gradient.data) scale = std::max(scale, std::abs(g));
    const double bound =
        error_bound("cpu", rounding_, terms, scale > 0 ? scale : 1, std::max(case_.slack, 1.0)) +
        1e-8;

    const std::int64_t n = gradient.elements();
    for (std::int64_t s = 0; s < std::min(kSamples, n); ++s) {
      const std::int64_t at = n <= kSamples ? s : random(static_cast<std::uint64_t>(s))[0] % n;
      RefTensor step(gradient.extents);
      step[at] = 1;
      EXPECT_NEAR(gradient[at], difference_quotient(input, step, directions), bound)
          << "gradient by element " << at << " of input " << input;
    }
    RefTensor step(gradient.extents);
    double slope = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      step[i] = random.uniform(static_cast<std::uint64_t>(i), 1) < 0.5F ? -1 : 1;
      slope += step[i] * gradient[i];
    }
    EXPECT_NEAR(slope, difference_quotient(input, step, directions),
                2 * bound * std::sqrt(static_cast<double>(n)))
        << "slope along a random direction of input " << input;
  }
}

}  // namespace hpdlf::test
