// Cases of the random operators: the reference draws the number of every element by itself, from base/philox.hpp.
#include "base/hash.hpp"
#include "base/philox.hpp"
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

void dropout_reference(ReferenceCall& call) {
  const double ratio = call.attrs.real("ratio");
  const Philox philox(
      Hash().add(static_cast<std::int64_t>(call.seed)).add(call.attrs.integer("stream")).value());
  for (std::int64_t i = 0; i < call.in(0).elements(); ++i) {
    const bool keeps = philox.uniform(static_cast<std::uint64_t>(i),
                                      static_cast<std::uint64_t>(call.step)) >= ratio;
    call.out(0)[i] = keeps ? call.in(0)[i] / (1 - ratio) : 0;
  }
}

}  // namespace

std::vector<OpCase> random_cases() {
  struct Draws {
    std::string name;
    Extents x;
    double ratio;
    std::int64_t stream;
  };
  const Draws draws[] = {{"half_2x5x7x19", {2, 5, 7, 19}, 0.5, 0},
                         {"third_1x3x4x5x16", {1, 3, 4, 5, 16}, 1.0 / 3, 7},
                         {"long_3x1501", {3, 1501}, 0.1, 1},
                         {"nothing_5x6", {5, 6}, 0, 2}};
  std::vector<OpCase> cases;
  for (const auto& d : draws)
    for (const char* op : {"Dropout", "DropoutGrad"}) {
      const bool differentiates = std::string(op) == "Dropout" && d.x.elements() < 2000;
      cases.push_back({.name = d.name,
                       .op = op,
                       .attrs = {{"ratio", d.ratio}, {"stream", d.stream}},
                       .inputs = {{.extents = d.x}},
                       .outputs = {{DType::f32, d.x}},
                       .reference = dropout_reference,
                       .differentiate = differentiates ? std::vector<int>{0} : std::vector<int>{}});
    }
  cases.push_back({.name = "ratio_1",
                   .op = "Dropout",
                   .attrs = {{"ratio", 1.0}},
                   .inputs = {{.extents = {2, 3}}},
                   .error = "must be in [0, 1)"});
  cases.push_back({.name = "of_labels",
                   .op = "Dropout",
                   .inputs = {{.dtype = DType::u8, .extents = {2, 3}, .draw = Draw::labels(3)}},
                   .error = "it takes f32"});
  return cases;
}

}  // namespace hpdlf::test
