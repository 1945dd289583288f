// Convolutions: one table of geometries serves Conv and its two gradients, another one ConvTranspose.
#include "base/window.hpp"
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

/// Calls visit(i, j, w) for every product of a convolution, by element numbers: i of the wide tensor (x of Conv), j of the narrow one
/// (its y), w of the weight [K, kernel..., C / group].
template <class Visit>
void for_each_product(const Attrs& attrs, const Extents& wide, const Extents& narrow, Visit visit) {
  const int spatial = wide.rank() - 2;
  const Windows windows = windows_from(attrs, spatial);
  const std::int64_t group = attrs.integer("group");
  const std::int64_t c_group = wide.back() / group;
  const std::int64_t k_group = narrow.back() / group;
  const Extents kernel(std::span(attrs.integers("kernel_shape")));
  Extents narrow_positions = narrow;  // n, spatial...
  narrow_positions[spatial + 1] = 1;

  for_each_index(narrow_positions, [&](const Extents& at) {
    std::int64_t j = 0;
    for (int i = 0; i <= spatial; ++i) j = j * narrow[i] + at[i];
    std::int64_t tap_number = 0;
    for_each_index(kernel, [&](const Extents& tap) {
      const std::int64_t this_tap = tap_number++;
      std::int64_t i = at[0];
      for (int d = 0; d < spatial; ++d) {
        const Window& window = windows[static_cast<std::size_t>(d)];
        const std::int64_t position = window.first(at[d + 1]) + tap[d] * window.dilation;
        if (position < 0 || position >= wide[d + 1]) return;
        i = i * wide[d + 1] + position;
      }
      for (std::int64_t k = 0; k < narrow.back(); ++k)
        for (std::int64_t c = 0; c < c_group; ++c)
          visit(i * wide.back() + k / k_group * c_group + c, j * narrow.back() + k,
                (k * kernel.elements() + this_tap) * c_group + c);
    });
  });
}

void add_bias(ReferenceCall& call) {
  if (!call.has_input(2)) return;
  RefTensor& y = call.out(0);
  for (std::int64_t i = 0; i < y.elements(); ++i) y[i] += call.in(2)[i % y.dim(-1)];
}

void conv_reference(ReferenceCall& call) {
  for_each_product(
      call.attrs, call.in(0).extents, call.out(0).extents,
      [&](auto i, auto j, auto w) { call.out(0)[j] += call.in(0)[i] * call.in(1)[w]; });
  add_bias(call);
}

/// ConvGradInput and ConvTranspose.
void transposed_reference(ReferenceCall& call) {
  for_each_product(
      call.attrs, call.out(0).extents, call.in(0).extents,
      [&](auto i, auto j, auto w) { call.out(0)[i] += call.in(0)[j] * call.in(1)[w]; });
  add_bias(call);
}

void grad_weight_reference(ReferenceCall& call) {
  for_each_product(call.attrs, call.in(0).extents, call.in(1).extents, [&](auto i, auto j, auto w) {
    call.out(0)[w] += call.in(0)[i] * call.in(1)[j];
  });
}

using Ints = std::vector<std::int64_t>;

/// A convolution from `wide` to `narrow` extents, or a transposed one the other way.
struct Geometry {
  std::string name;
  Extents wide, narrow;
  Ints kernel, strides = {}, pads = {}, dilations = {};
  std::int64_t group = 1;
  DType dtype = DType::f32;
  Ints output_padding = {};

  [[nodiscard]] Geometry strided(Ints s) const { return with(&Geometry::strides, std::move(s)); }
  /// All begins, then all ends; one value: the same everywhere.
  [[nodiscard]] Geometry padded(Ints p) const {
    return with(&Geometry::pads, p.size() == 1 ? Ints(2 * kernel.size(), p[0]) : std::move(p));
  }
  [[nodiscard]] Geometry dilated(std::int64_t d) const {
    return with(&Geometry::dilations, Ints(kernel.size(), d));
  }
  [[nodiscard]] Geometry grouped(std::int64_t n) const { return with(&Geometry::group, n); }
  [[nodiscard]] Geometry in(DType d) const { return with(&Geometry::dtype, d); }
  [[nodiscard]] Geometry extended(Ints extra) const {
    return with(&Geometry::output_padding, std::move(extra));
  }

  [[nodiscard]] Attrs attrs() const {
    return {{"kernel_shape", kernel},
            {"strides", strides},
            {"pads", pads},
            {"dilations", dilations},
            {"group", group}};
  }
  [[nodiscard]] Extents weight() const {
    Extents w{narrow.back()};
    for (const auto k : kernel) w.push_back(k);
    w.push_back(wide.back() / group);
    return w;
  }
  [[nodiscard]] std::int64_t taps() const { return Extents(std::span(kernel)).elements(); }

 private:
  template <class T>
  [[nodiscard]] Geometry with(T Geometry::*field, T value) const {
    Geometry g = *this;
    g.*field = std::move(value);
    return g;
  }
};

const std::vector<Geometry>& conv_geometries() {
  static const std::vector<Geometry> table = {
      Geometry{"3d_k3_odd", {2, 5, 4, 7, 3}, {2, 5, 4, 7, 5}, {3, 3, 3}}.padded({1}),
      Geometry{"3d_k3_c16", {1, 4, 5, 6, 16}, {1, 4, 5, 6, 16}, {3, 3, 3}}.padded({1}),
      Geometry{"3d_k3_c24_k40", {1, 3, 3, 5, 24}, {1, 3, 3, 5, 40}, {3, 3, 3}}.padded({1}),
      Geometry{"3d_k3_first_layer", {1, 5, 6, 9, 1}, {1, 5, 6, 9, 8}, {3, 3, 3}}.padded({1}),
      Geometry{"3d_k3_no_pad", {1, 5, 6, 7, 2}, {1, 3, 4, 5, 3}, {3, 3, 3}},
      Geometry{"3d_k3_s2", {1, 9, 8, 7, 4}, {1, 5, 4, 4, 6}, {3, 3, 3}}.strided({2, 2, 2}).padded(
          {1}),
      Geometry{"3d_k3_s2_c16", {2, 8, 6, 6, 16}, {2, 4, 3, 3, 8}, {3, 3, 3}}
          .strided({2, 2, 2})
          .padded({1}),
      Geometry{"3d_k3_s2_k320", {1, 2, 4, 4, 32}, {1, 1, 2, 2, 320}, {3, 3, 3}}
          .strided({2, 2, 2})
          .padded({1}),
      Geometry{"3d_k1x3x3", {1, 3, 6, 5, 3}, {1, 3, 6, 5, 4}, {1, 3, 3}}.padded({0, 1, 1, 0, 1, 1}),
      Geometry{"3d_k3x1x1", {1, 6, 3, 5, 3}, {1, 6, 3, 5, 4}, {3, 1, 1}}.padded({1, 0, 0, 1, 0, 0}),
      Geometry{"3d_k7_halo_wider_than_a_tile", {1, 7, 4, 7, 2}, {1, 7, 4, 7, 3}, {7, 1, 7}}.padded(
          {3, 0, 3, 3, 0, 3}),
      Geometry{"3d_dilation2", {1, 7, 6, 8, 2}, {1, 7, 6, 8, 3}, {3, 3, 3}}.padded({2}).dilated(2),
      Geometry{"3d_s2_dilation2", {1, 9, 5, 8, 2}, {1, 5, 3, 4, 3}, {3, 3, 3}}
          .strided({2, 2, 2})
          .padded({2})
          .dilated(2),
      Geometry{"3d_k2_s2", {1, 6, 4, 8, 8}, {1, 3, 2, 4, 16}, {2, 2, 2}}.strided({2, 2, 2}),
      Geometry{"3d_k1_head", {2, 4, 5, 3, 16}, {2, 4, 5, 3, 5}, {1, 1, 1}},
      Geometry{"3d_k3_s3_rest", {1, 8, 7, 6, 2}, {1, 2, 2, 2, 3}, {3, 3, 3}}.strided({3, 3, 3}),
      Geometry{"3d_k1_s2_gaps", {1, 5, 6, 7, 3}, {1, 3, 3, 4, 2}, {1, 1, 1}}.strided({2, 2, 2}),
      Geometry{"3d_k2_s3_gaps", {1, 9, 4, 7, 2}, {1, 3, 1, 2, 4}, {2, 2, 2}}.strided({3, 3, 3}),
      Geometry{"2d_k3", {3, 9, 11, 5}, {3, 9, 11, 4}, {3, 3}}.padded({1, 1, 1, 1}),
      Geometry{"2d_asymmetric_pads", {1, 8, 7, 3}, {1, 9, 9, 4}, {3, 3}}.padded({1, 0, 2, 4}),
      Geometry{"2d_even_kernel_s2", {2, 9, 8, 3}, {2, 4, 5, 4}, {4, 2}}.strided({2, 2}).padded(
          {1, 1, 0, 1}),
      Geometry{"2d_groups2", {2, 6, 7, 8}, {2, 6, 7, 6}, {3, 3}}.padded({1, 1, 1, 1}).grouped(2),
      Geometry{"2d_depthwise", {1, 7, 6, 8}, {1, 7, 6, 8}, {3, 3}}.padded({1, 1, 1, 1}).grouped(8),
      Geometry{"2d_depthwise_s2_twofold", {1, 7, 9, 3}, {1, 4, 5, 6}, {3, 3}}
          .strided({2, 2})
          .padded({1, 1, 1, 1})
          .grouped(3),
      Geometry{"2d_windows_in_the_padding", {1, 5, 6, 2}, {1, 9, 10, 3}, {2, 1}}.padded(
          {3, 2, 2, 2}),
      Geometry{"1d_k5_s2", {2, 19, 3}, {2, 10, 4}, {5}}.strided({2}).padded({2, 2}),
      Geometry{"3d_k3_bf16_bias_too", {1, 4, 3, 6, 16}, {1, 4, 3, 6, 16}, {3, 3, 3}}.padded({1}).in(
          DType::bf16),
      Geometry{"3d_k3_s2_bf16_bias_too", {1, 5, 4, 6, 8}, {1, 3, 2, 3, 16}, {3, 3, 3}}
          .strided({2, 2, 2})
          .padded({1})
          .in(DType::bf16)};
  return table;
}

OpCase conv_case(const Geometry& g, bool bias) {
  OpCase c{.name = g.name + (bias ? "_bias" : ""),
           .op = "Conv",
           .attrs = g.attrs(),
           .inputs = {{g.dtype, g.wide}, {g.dtype, g.weight()}},
           .outputs = {{g.dtype, g.narrow}},
           .reference = conv_reference,
           .terms = g.taps() * g.wide.back() / g.group};
  if (bias) c.inputs.push_back({g.dtype, {g.narrow.back()}});
  if (g.dtype == DType::f32)
    c.differentiate = bias ? std::vector<int>{0, 1, 2} : std::vector<int>{0, 1};
  return c;
}

OpCase grad_input_case(const Geometry& g) {
  OpCase c{.name = g.name,
           .op = "ConvGradInput",
           .attrs = g.attrs(),
           .inputs = {{g.dtype, g.narrow}, {g.dtype, g.weight()}},
           .outputs = {{g.dtype, g.wide}},
           .reference = transposed_reference,
           .terms = g.taps() * g.narrow.back() / g.group};
  c.attrs.set("input_shape", Ints(g.wide.begin(), g.wide.end()));
  return c;
}

OpCase grad_weight_case(const Geometry& g) {
  return {.name = g.name,
          .op = "ConvGradWeight",
          .attrs = g.attrs(),
          .inputs = {{g.dtype, g.wide}, {g.dtype, g.narrow}},
          .outputs = {{DType::f32, g.weight()}},
          .reference = grad_weight_reference,
          .terms = g.narrow.elements() / g.narrow.back()};
}

const std::vector<Geometry>& transposed_geometries() {
  static const std::vector<Geometry> table = {
      Geometry{"3d_k2_s2", {1, 6, 8, 10, 8}, {1, 3, 4, 5, 16}, {2, 2, 2}}.strided({2, 2, 2}),
      Geometry{"3d_k2_s2_odd_channels", {2, 4, 2, 6, 3}, {2, 2, 1, 3, 5}, {2, 2, 2}}.strided(
          {2, 2, 2}),
      Geometry{"3d_k2_s2_many_tiles", {1, 6, 8, 54, 20}, {1, 3, 4, 27, 37}, {2, 2, 2}}.strided(
          {2, 2, 2}),
      Geometry{"3d_k2_s2_past_the_caches", {1, 16, 64, 64, 16}, {1, 8, 32, 32, 2}, {2, 2, 2}}
          .strided({2, 2, 2}),
      Geometry{"2d_k4_s4", {2, 8, 12, 3}, {2, 2, 3, 5}, {4, 4}}.strided({4, 4}),
      Geometry{"3d_k3_s2_output_padding", {1, 6, 7, 8, 3}, {1, 3, 4, 4, 4}, {3, 3, 3}}
          .strided({2, 2, 2})
          .padded({1})
          .extended({1, 0, 1}),
      Geometry{"3d_k4_s2_p1", {1, 6, 8, 4, 3}, {1, 3, 4, 2, 4}, {4, 4, 4}}
          .strided({2, 2, 2})
          .padded({1}),
      Geometry{"3d_k3_s1", {1, 5, 6, 7, 3}, {1, 3, 4, 5, 2}, {3, 3, 3}},
      Geometry{"3d_k1x2x2_s1x2x2", {1, 3, 6, 8, 4}, {1, 3, 3, 4, 6}, {1, 2, 2}}.strided({1, 2, 2}),
      Geometry{"2d_k3_s2_dilation2", {2, 13, 9, 3}, {2, 5, 3, 4}, {3, 3}}.strided({2, 2}).dilated(
          2),
      Geometry{"2d_k1_s2_gaps", {1, 8, 7, 3}, {1, 4, 4, 4}, {1, 1}}.strided({2, 2}).extended(
          {1, 0}),
      Geometry{"2d_groups2", {1, 8, 10, 6}, {1, 4, 5, 8}, {2, 2}}.strided({2, 2}).grouped(2),
      Geometry{"1d_k4_s3", {2, 13, 3}, {2, 4, 5}, {4}}.strided({3}),
      Geometry{"3d_k2_s2_bf16_bias_too", {1, 4, 6, 4, 8}, {1, 2, 3, 2, 16}, {2, 2, 2}}
          .strided({2, 2, 2})
          .in(DType::bf16)};
  return table;
}

OpCase transposed_case(const Geometry& g) {
  OpCase c{.name = g.name,
           .op = "ConvTranspose",
           .attrs = g.attrs(),
           .inputs = {{g.dtype, g.narrow}, {g.dtype, g.weight()}, {g.dtype, {g.wide.back()}}},
           .outputs = {{g.dtype, g.wide}},
           .reference = transposed_reference,
           .terms = g.taps() * g.narrow.back() / g.group};
  c.attrs.set("output_padding", g.output_padding);
  if (g.dtype == DType::f32) c.differentiate = {0, 1, 2};
  return c;
}

OpCase error_case(const std::string& name, const std::string& op, const Attrs& attrs,
                  std::vector<InputCase> inputs, const std::string& error) {
  return {.name = name, .op = op, .attrs = attrs, .inputs = std::move(inputs), .error = error};
}

std::vector<OpCase> error_cases() {
  const Attrs k3 = {{"kernel_shape", Ints{3, 3}}};
  Attrs groups3 = k3;
  groups3.set("group", std::int64_t{3});
  Attrs padding2 = k3;
  padding2.set("output_padding", Ints{2, 0});
  const InputCase x{.extents = {1, 6, 6, 4}};
  return {
      error_case("rejects_other_channels", "Conv", k3, {x, {.extents = {8, 3, 3, 5}}},
                 "make it [8,3,3,4]"),
      error_case("rejects_other_rank", "Conv", k3, {x, {.extents = {8, 3, 4}}},
                 "[K, kernel..., C / group]"),
      error_case("rejects_a_large_kernel", "Conv", k3,
                 {{.extents = {1, 6, 2, 4}}, {.extents = {8, 3, 3, 4}}},
                 "does not fit in dimension 2"),
      error_case("rejects_groups_that_do_not_divide", "Conv", groups3,
                 {x, {.extents = {9, 3, 3, 1}}}, "group=3 does not divide"),
      error_case("rejects_other_bias", "Conv", k3, {x, {.extents = {8, 3, 3, 4}}, {.extents = {4}}},
                 "there are 8 output channels"),
      error_case("rejects_integers", "Conv", k3,
                 {{DType::i32, {1, 6, 6, 4}, Draw::labels(3)}, {.extents = {8, 3, 3, 4}}},
                 "take f32 and bf16"),
      error_case("rejects_output_padding_of_a_stride", "ConvTranspose", padding2,
                 {x, {.extents = {4, 3, 3, 8}}}, "must be less than the stride 1")};
}

}  // namespace

std::vector<OpCase> conv_cases() {
  std::vector<OpCase> cases;
  for (const auto& g : conv_geometries()) {
    cases.push_back(conv_case(g, false));
    cases.push_back(conv_case(g, true));
    cases.push_back(grad_input_case(g));
    cases.push_back(grad_weight_case(g));
  }
  for (const auto& g : transposed_geometries()) cases.push_back(transposed_case(g));
  const std::vector<OpCase> in_f32 = cases;
  for (const OpCase& c : in_f32) {
    if (c.inputs[0].dtype != DType::f32) continue;
    if (c.op == "ConvGradWeight")
      cases.push_back(in_bf16(c, {0, 1}, {}));
    else if (c.op != "Conv" || c.inputs.size() > 2)
      cases.push_back(in_bf16(c, {0, 1}, {0}));
  }
  for (auto& c : error_cases()) cases.push_back(std::move(c));
  return cases;
}

}  // namespace hpdlf::test
