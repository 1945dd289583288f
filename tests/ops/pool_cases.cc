// Cases of pooling. The references walk every window in double, over three spatial dimensions whatever the rank.
#include <array>

#include "base/window.hpp"
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

using Integers = std::vector<std::int64_t>;

Extents window_extents(const Windows& windows, int spatial) {
  Extents e;
  for (int i = 0; i < spatial; ++i) e.push_back(windows[static_cast<std::size_t>(i)].kernel);
  return e;
}

/// body(output index, input indices of its taps in order) for every window of a pooling of x.
template <class Body>
void for_each_window(const Attrs& attrs, const Extents& x, const Extents& y, const Body& body) {
  const int spatial = x.rank() - 2;
  const Windows windows = windows_from(attrs, spatial);
  for_each_index(y, [&](const Extents& out) {
    std::vector<Extents> taps;
    for_each_index(window_extents(windows, spatial), [&](const Extents& tap) {
      Extents in = out;
      bool inside = true;
      for (int i = 0; i < spatial; ++i) {
        const Window& w = windows[static_cast<std::size_t>(i)];
        in[i + 1] = out[i + 1] * w.stride - w.pad_lo + tap[i] * w.dilation;
        inside = inside && in[i + 1] >= 0 && in[i + 1] < x[i + 1];
      }
      if (inside) taps.push_back(in);
    });
    body(out, taps);
  });
}

std::size_t first_maximum(const RefTensor& x, const std::vector<Extents>& taps) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < taps.size(); ++i)
    if (x.at(taps[i]) > x.at(taps[best])) best = i;
  return best;
}

void max_pool_reference(ReferenceCall& call) {
  for_each_window(call.attrs, call.in(0).extents, call.out(0).extents,
                  [&](const Extents& out, const auto& taps) {
                    call.out(0).at(out) = call.in(0).at(taps[first_maximum(call.in(0), taps)]);
                  });
}

void max_pool_grad_reference(ReferenceCall& call) {
  for_each_window(call.attrs, call.in(0).extents, call.in(1).extents,
                  [&](const Extents& out, const auto& taps) {
                    call.out(0).at(taps[first_maximum(call.in(0), taps)]) += call.in(1).at(out);
                  });
}

double averaged_elements(const Attrs& attrs, int spatial, std::size_t inside) {
  if (attrs.integer("count_include_pad") == 0) return static_cast<double>(inside);
  return static_cast<double>(window_extents(windows_from(attrs, spatial), spatial).elements());
}

void average_pool_reference(ReferenceCall& call) {
  const RefTensor& x = call.in(0);
  for_each_window(
      call.attrs, x.extents, call.out(0).extents, [&](const Extents& out, const auto& taps) {
        for (const auto& tap : taps)
          call.out(0).at(out) +=
              x.at(tap) / averaged_elements(call.attrs, x.extents.rank() - 2, taps.size());
      });
}

void average_pool_grad_reference(ReferenceCall& call) {
  const Extents& x = call.out(0).extents;
  for_each_window(call.attrs, x, call.in(0).extents, [&](const Extents& out, const auto& taps) {
    for (const auto& tap : taps)
      call.out(0).at(tap) +=
          call.in(0).at(out) / averaged_elements(call.attrs, x.rank() - 2, taps.size());
  });
}

/// One geometry, from which every operator of the family gets its cases.
struct Geometry {
  std::string name;
  Integers kernel, strides, pads, dilations;
  Extents x, y;
  DType dtype = DType::f32;
};

std::vector<Geometry> geometries() {
  return {
      {"k2s2_2x6x4x8x16", {2, 2, 2}, {2, 2, 2}, {}, {}, {2, 6, 4, 8, 16}, {2, 3, 2, 4, 16}},
      {"k3s2p1_1x7x5x6x5",
       {3, 3, 3},
       {2, 2, 2},
       {1, 1, 1, 1, 1, 1},
       {},
       {1, 7, 5, 6, 5},
       {1, 4, 3, 3, 5}},
      {"k3s1p1_1x5x4x6x3", {3, 3, 3}, {}, {1, 1, 1, 1, 1, 1}, {}, {1, 5, 4, 6, 3}, {1, 5, 4, 6, 3}},
      {"anisotropic_2x5x9x7", {1, 3}, {1, 2}, {0, 1, 0, 0}, {}, {2, 5, 9, 7}, {2, 5, 4, 7}},
      {"dilated_1x9x8x17", {2, 3}, {2, 1}, {1, 2, 0, 2}, {3, 2}, {1, 9, 8, 17}, {1, 4, 8, 17}},
      {"gaps_3x11x9", {2}, {3}, {}, {}, {3, 11, 9}, {3, 4, 9}},
      {"bf16_1x4x6x24", {2, 2}, {2, 2}, {}, {}, {1, 4, 6, 24}, {1, 2, 3, 24}, DType::bf16},
  };
}

Attrs attrs_of(const Geometry& g) {
  return {{"kernel_shape", g.kernel},
          {"strides", g.strides},
          {"pads", g.pads},
          {"dilations", g.dilations}};
}

void add_max_cases(std::vector<OpCase>& cases, const Geometry& g) {
  std::vector<int> differentiate;
  if (g.dtype == DType::f32) differentiate = {0};
  cases.push_back({.name = g.name,
                   .op = "MaxPool",
                   .attrs = attrs_of(g),
                   .inputs = {{.dtype = g.dtype, .extents = g.x, .draw = Draw::distinct()}},
                   .outputs = {{g.dtype, g.y}},
                   .reference = max_pool_reference,
                   .differentiate = differentiate});
  for (const bool has_ties : {false, true})
    cases.push_back({.name = g.name + (has_ties ? "_ties" : ""),
                     .op = "MaxPoolGrad",
                     .attrs = attrs_of(g),
                     .inputs = {{.dtype = g.dtype,
                                 .extents = g.x,
                                 .draw = has_ties ? Draw::labels(2) : Draw::distinct()},
                                {.dtype = g.dtype, .extents = g.y}},
                     .outputs = {{g.dtype, g.x}},
                     .reference = max_pool_grad_reference,
                     .terms = 27});
}

void add_average_cases(std::vector<OpCase>& cases, const Geometry& g) {
  for (const std::int64_t count_include_pad : {0, 1}) {
    std::vector<int> differentiate;
    if (g.dtype == DType::f32) differentiate = {0};
    const std::string name = g.name + (count_include_pad != 0 ? "_all" : "");
    Attrs attrs = attrs_of(g);
    attrs.set("count_include_pad", count_include_pad);
    cases.push_back({.name = name,
                     .op = "AveragePool",
                     .attrs = attrs,
                     .inputs = {{.dtype = g.dtype, .extents = g.x}},
                     .outputs = {{g.dtype, g.y}},
                     .reference = average_pool_reference,
                     .terms = 27,
                     .differentiate = differentiate});
    attrs.set("input_shape", Integers(g.x.begin(), g.x.end()));
    cases.push_back({.name = name,
                     .op = "AveragePoolGrad",
                     .attrs = attrs,
                     .inputs = {{.dtype = g.dtype, .extents = g.y}},
                     .outputs = {{g.dtype, g.x}},
                     .reference = average_pool_grad_reference,
                     .terms = 27});
  }
}

/// Gradients in bf16 of windows that overlap 27-fold: they are off by no more than one rounding, half a unit of 2^-7.
void add_rounding_cases(std::vector<OpCase>& cases) {
  const Geometry g{"bf16_overlap_1x4x5x4x19", {3, 3, 3},       {}, Integers(6, 2), {},
                   {1, 4, 5, 4, 19},          {1, 6, 7, 6, 19}};
  const auto constant = [](const Extents& extents, double value) {
    return InputCase{DType::bf16, extents, Draw::constant(value)};
  };
  constexpr double kSlack = 0.25;  // of a bound of 2^-6 sqrt(3)
  cases.push_back({.name = g.name,
                   .op = "MaxPoolGrad",
                   .attrs = attrs_of(g),
                   .inputs = {constant(g.x, 1), constant(g.y, 0.3)},
                   .outputs = {{DType::bf16, g.x}},
                   .reference = max_pool_grad_reference,
                   .slack = kSlack});
  Attrs attrs = attrs_of(g);
  attrs.set("count_include_pad", std::int64_t{1});
  attrs.set("input_shape", Integers(g.x.begin(), g.x.end()));
  cases.push_back({.name = g.name,
                   .op = "AveragePoolGrad",
                   .attrs = attrs,
                   .inputs = {constant(g.y, 1)},
                   .outputs = {{DType::bf16, g.x}},
                   .reference = average_pool_grad_reference,
                   .slack = kSlack});
}

}  // namespace

std::vector<OpCase> pool_cases() {
  std::vector<OpCase> cases;
  for (const auto& g : geometries()) {
    add_max_cases(cases, g);
    add_average_cases(cases, g);
  }
  add_rounding_cases(cases);
  cases.push_back({.name = "window_larger_than_x",
                   .op = "MaxPool",
                   .attrs = {{"kernel_shape", Integers{5}}},
                   .inputs = {{.extents = {1, 4, 3}}},
                   .error = "a window of 5"});
  cases.push_back({.name = "window_in_padding",
                   .op = "AveragePool",
                   .attrs = {{"kernel_shape", Integers{2}}, {"pads", Integers{2, 0}}},
                   .inputs = {{.extents = {1, 4, 3}}},
                   .error = "wholly in the padding"});
  cases.push_back({.name = "two_strides_for_one_dimension",
                   .op = "MaxPool",
                   .attrs = {{"kernel_shape", Integers{2}}, {"strides", Integers{2, 2}}},
                   .inputs = {{.extents = {1, 4, 3}}},
                   .error = "strides=[2,2] has 2 values"});
  cases.push_back({.name = "no_spatial_dimension",
                   .op = "MaxPool",
                   .attrs = {{"kernel_shape", Integers{2}}},
                   .inputs = {{.extents = {4, 3}}},
                   .error = "pooling takes"});
  cases.push_back({.name = "dy_of_another_shape",
                   .op = "MaxPoolGrad",
                   .attrs = {{"kernel_shape", Integers{2}}},
                   .inputs = {{.extents = {1, 4, 3}}, {.extents = {1, 4, 3}}},
                   .error = "the pooled x is f32[1,3,3]"});
  return cases;
}

}  // namespace hpdlf::test
