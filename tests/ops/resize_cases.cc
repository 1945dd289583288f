// Cases of Resize. The reference interpolates one element at a time; its coordinates follow the text of ONNX Resize-13.
#include <algorithm>
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

using Integers = std::vector<std::int64_t>;
using Reals = std::vector<double>;

/// Where an element of y lies in x. With sizes (`scale` is 0) it is a fraction of whole numbers, rounded once.
double source_of(std::int64_t i, std::int64_t from, std::int64_t to, double scale,
                 const std::string& mode) {
  const auto fraction = [](std::int64_t a, std::int64_t b) {
    return static_cast<double>(a) / static_cast<double>(b);
  };
  const auto half_pixel = [&] {
    return scale > 0 ? (static_cast<double>(i) + 0.5) / scale - 0.5
                     : fraction((2 * i + 1) * from - to, 2 * to);
  };
  if (mode == "half_pixel") return half_pixel();
  if (mode == "pytorch_half_pixel") return to > 1 ? half_pixel() : 0;
  if (mode == "align_corners") return to > 1 ? fraction(i * (from - 1), to - 1) : 0;
  return scale > 0 ? static_cast<double>(i) / scale : fraction(i * from, to);  // asymmetric
}

std::int64_t nearest_of(double x, const std::string& mode) {
  const double half = x - std::floor(x);
  if (mode == "floor" || (mode == "round_prefer_floor" && half <= 0.5) ||
      (mode == "round_prefer_ceil" && half < 0.5))
    return static_cast<std::int64_t>(std::floor(x));
  return static_cast<std::int64_t>(std::ceil(x));
}

/// body(index of x, weight) for the elements of x that make element `out` of y.
template <class Body>
void for_each_tap(const Attrs& attrs, const Extents& x, const Extents& y, const Extents& out,
                  const Body& body) {
  const bool is_linear = attrs.string("mode") == "linear";
  for_each_index(Extents::filled(x.rank(), is_linear ? 2 : 1), [&](const Extents& side) {
    Extents in = out;
    double weight = 1;
    for (int d = 0; d < x.rank(); ++d) {
      const auto& scales = attrs.reals("scales");
      const double scale = scales.empty() ? 0 : scales[static_cast<std::size_t>(d)];
      const double at =
          source_of(out[d], x[d], y[d], scale, attrs.string("coordinate_transformation_mode"));
      if (is_linear) {
        const double fraction = at - std::floor(at);
        in[d] = static_cast<std::int64_t>(std::floor(at)) + side[d];
        weight *= side[d] == 1 ? fraction : 1 - fraction;
      } else {
        in[d] = nearest_of(at, attrs.string("nearest_mode"));
      }
      in[d] = std::clamp<std::int64_t>(in[d], 0, x[d] - 1);
    }
    if (weight != 0) body(in, weight);
  });
}

void resize_reference(ReferenceCall& call) {
  const Extents& x = call.in(0).extents;
  const Extents& y = call.out(0).extents;
  for_each_index(y, [&](const Extents& out) {
    for_each_tap(call.attrs, x, y, out, [&](const Extents& in, double weight) {
      call.out(0).at(out) += weight * call.in(0).at(in);
    });
  });
}

void resize_grad_reference(ReferenceCall& call) {
  const Extents& x = call.out(0).extents;
  const Extents& y = call.in(0).extents;
  for_each_index(y, [&](const Extents& out) {
    for_each_tap(call.attrs, x, y, out, [&](const Extents& in, double weight) {
      call.out(0).at(in) += weight * call.in(0).at(out);
    });
  });
}

struct Change {
  std::string name;
  Extents x, y;
  Reals scales;  // empty: sizes = y
  std::string mode = "nearest", coordinates = "half_pixel", nearest = "round_prefer_floor";
};

std::vector<Change> changes() {
  return {
      {"nearest_x2_1x3x2x4x5",
       {1, 3, 2, 4, 5},
       {1, 6, 4, 8, 5},
       {1, 2, 2, 2, 1},
       "nearest",
       "asymmetric",
       "floor"},
      {"linear_x2_1x3x2x4x5", {1, 3, 2, 4, 5}, {1, 6, 4, 8, 5}, {1, 2, 2, 2, 1}, "linear"},
      {"linear_down_2x9x7x18", {2, 9, 7, 18}, {2, 4, 3, 18}, {1, 0.5, 0.5, 1}, "linear"},
      {"align_corners_2x4x5x3", {2, 4, 5, 3}, {2, 7, 11, 3}, {}, "linear", "align_corners"},
      {"pytorch_to_1_2x4x3", {2, 4, 3}, {2, 1, 3}, {}, "linear", "pytorch_half_pixel"},
      {"nearest_ceil_2x5x6",
       {2, 5, 6},
       {2, 8, 6},
       {},
       "nearest",
       "half_pixel",
       "round_prefer_ceil"},
      {"nearest_down_2x9x6", {2, 9, 6}, {2, 4, 6}, {}, "nearest", "align_corners", "ceil"},
      {"nearest_on_a_whole_position_1x14x3",
       {1, 14, 3},
       {1, 18, 3},
       {},
       "nearest",
       "asymmetric",
       "floor"},
      {"nearest_between_two_1x14x3", {1, 14, 3}, {1, 17, 3}, {}},
      {"channels_3x4", {3, 4}, {3, 7}, {}, "linear"},
      {"scale_without_change_2x3", {2, 3}, {2, 3}, {1, 1.2}, "linear"},
  };
}

}  // namespace

std::vector<OpCase> resize_cases() {
  std::vector<OpCase> cases;
  for (const auto& c : changes()) {
    Attrs attrs{{"scales", c.scales},
                {"mode", c.mode},
                {"coordinate_transformation_mode", c.coordinates},
                {"nearest_mode", c.nearest}};
    if (c.scales.empty()) attrs.set("sizes", Integers(c.y.begin(), c.y.end()));
    cases.push_back({.name = c.name,
                     .op = "Resize",
                     .attrs = attrs,
                     .inputs = {{.extents = c.x}},
                     .outputs = {{DType::f32, c.y}},
                     .reference = resize_reference,
                     .terms = 8,
                     .differentiate = {0}});
    attrs.set("input_shape", Integers(c.x.begin(), c.x.end()));
    cases.push_back({.name = c.name,
                     .op = "ResizeGrad",
                     .attrs = attrs,
                     .inputs = {{.extents = c.y}},
                     .outputs = {{DType::f32, c.x}},
                     .reference = resize_grad_reference,
                     .terms = 64});
  }
  cases.push_back({.name = "scales_and_sizes",
                   .op = "Resize",
                   .attrs = {{"scales", Reals{2}}, {"sizes", Integers{4}}},
                   .inputs = {{.extents = {2}}},
                   .error = "not both"});
  cases.push_back({.name = "neither_scales_nor_sizes",
                   .op = "Resize",
                   .inputs = {{.extents = {2}}},
                   .error = "not neither"});
  cases.push_back({.name = "scales_of_another_rank",
                   .op = "Resize",
                   .attrs = {{"scales", Reals{2, 2}}},
                   .inputs = {{.extents = {1, 2, 3}}},
                   .error = "one a dimension"});
  cases.push_back({.name = "unknown_mode",
                   .op = "Resize",
                   .attrs = {{"scales", Reals{2}}, {"mode", std::string("cubic")}},
                   .inputs = {{.extents = {2}}},
                   .error = "mode=\"cubic\" is none of"});
  cases.push_back({.name = "nothing_left",
                   .op = "Resize",
                   .attrs = {{"scales", Reals{0.25}}},
                   .inputs = {{.extents = {2}}},
                   .error = "leaves 0 elements"});
  return cases;
}

}  // namespace hpdlf::test
