// Winograd convolutions: the same references as for direct ones, on weights transformed by matrices in double precision.
#include "base/window.hpp"
#include "tests/ops/op_case.hpp"
#include "tests/ops/winograd_weights.hpp"

namespace hpdlf::test {
namespace {

using Ints = std::vector<std::int64_t>;

struct Geometry {
  std::string name;
  Extents x, y;  ///< [N, (D,) H, W, C or K]
  Ints kernel, pads;
  std::int64_t tile_depth = 1;
  Ints strides;  ///< empty: 1
  [[nodiscard]] std::int64_t taps() const { return kernel.size() == 3 ? kernel[0] : 1; }
  [[nodiscard]] Extents weight() const {
    Extents w{y.back()};
    for (const auto k : kernel) w.push_back(k);
    w.push_back(x.back());
    return w;
  }
  [[nodiscard]] Attrs attrs() const {
    return {{"kernel_shape", kernel}, {"pads", pads}, {"tile_depth", tile_depth}};
  }
  [[nodiscard]] std::int64_t stride(int d) const {
    return strides.empty() ? 1 : strides[static_cast<std::size_t>(d)];
  }
  [[nodiscard]] bool has_phases() const { return !strides.empty() && strides.back() == 2; }
  [[nodiscard]] WeightTransform weight_transform(bool transposed) const {
    return {transposed, tile_depth, has_phases() ? 2 : 1};
  }
};

/// Those with D direct, then those with three taps there again with D transformed.
std::vector<Geometry> geometries() {
  std::vector<Geometry> table = {
      {"3d_odd", {2, 5, 6, 7, 3}, {2, 5, 6, 7, 5}, {3, 3, 3}, Ints(6, 1)},
      {"3d_c16_k32", {1, 4, 8, 12, 16}, {1, 4, 8, 12, 32}, {3, 3, 3}, Ints(6, 1)},
      {"3d_c20_k40", {1, 3, 5, 9, 20}, {1, 3, 5, 9, 40}, {3, 3, 3}, Ints(6, 1)},
      {"3d_no_pad", {1, 5, 7, 9, 4}, {1, 3, 5, 7, 6}, {3, 3, 3}, Ints(6, 0)},
      {"3d_1x3x3", {1, 3, 6, 5, 8}, {1, 3, 6, 5, 4}, {1, 3, 3}, {0, 1, 1, 0, 1, 1}},
      {"3d_5x3x3", {1, 6, 5, 4, 4}, {1, 6, 5, 4, 4}, {5, 3, 3}, {2, 1, 1, 2, 1, 1}},
      {"3d_16x3x3", {1, 16, 5, 4, 4}, {1, 16, 5, 4, 4}, {16, 3, 3}, {8, 1, 1, 7, 1, 1}},
      {"3d_two_blocks_of_tiles", {1, 2, 30, 34, 8}, {1, 2, 30, 34, 8}, {3, 3, 3}, Ints(6, 1)},
      {"3d_many_planes", {1, 37, 3, 3, 24}, {1, 37, 3, 3, 8}, {3, 3, 3}, Ints(6, 1)},
      {"3d_a_ring_of_planes", {1, 14, 34, 17, 8}, {1, 14, 34, 17, 8}, {3, 3, 3}, Ints(6, 1)},
      {"3d_blocks_of_channels", {1, 2, 3, 5, 66}, {1, 2, 3, 5, 80}, {3, 3, 3}, Ints(6, 1)},
      {"2d", {3, 9, 11, 5}, {3, 9, 11, 18}, {3, 3}, Ints(4, 1)},
      {"2d_asymmetric_pads", {1, 8, 7, 3}, {1, 8, 9, 4}, {3, 3}, {1, 0, 1, 4}}};
  const std::size_t direct = table.size();
  for (std::size_t i = 0; i < direct; ++i)
    for (const std::int64_t depth : {2, 4})
      if (table[i].taps() == kTaps) {
        table.push_back(table[i]);
        table.back().name += "_depth" + std::to_string(depth);
        table.back().tile_depth = depth;
      }
  return table;
}

/// Those with a stride; D is direct.
std::vector<Geometry> strided_geometries() {
  const Ints all_2 = {2, 2, 2};
  return {
      {"3d_strided", {2, 7, 9, 11, 3}, {2, 4, 5, 6, 5}, {3, 3, 3}, Ints(6, 1), 1, all_2},
      {"3d_strided_even", {1, 8, 16, 24, 16}, {1, 4, 8, 12, 32}, {3, 3, 3}, Ints(6, 1), 1, all_2},
      {"3d_strided_c20_k40", {1, 5, 8, 17, 20}, {1, 3, 4, 9, 40}, {3, 3, 3}, Ints(6, 1), 1, all_2},
      {"3d_strided_no_pad", {1, 7, 11, 10, 4}, {1, 3, 5, 4, 6}, {3, 3, 3}, Ints(6, 0), 1, all_2},
      {"3d_strided_1x3x3",
       {1, 3, 9, 8, 8},
       {1, 3, 5, 4, 4},
       {1, 3, 3},
       {0, 1, 1, 0, 1, 1},
       1,
       {1, 2, 2}},
      {"3d_strided_plane_only",
       {1, 5, 9, 8, 8},
       {1, 5, 5, 4, 4},
       {3, 3, 3},
       Ints(6, 1),
       1,
       {1, 2, 2}},
      {"3d_strided_past_planes",
       {1, 7, 6, 8, 8},
       {1, 3, 3, 4, 4},
       {1, 3, 3},
       {0, 1, 1, 0, 1, 1},
       1,
       {3, 2, 2}},
      {"3d_strided_two_blocks",
       {1, 4, 60, 68, 8},
       {1, 2, 30, 34, 8},
       {3, 3, 3},
       Ints(6, 1),
       1,
       all_2},
      {"3d_strided_ring", {1, 28, 68, 34, 8}, {1, 14, 34, 17, 8}, {3, 3, 3}, Ints(6, 1), 1, all_2},
      {"3d_strided_channels", {1, 4, 6, 10, 66}, {1, 2, 3, 5, 80}, {3, 3, 3}, Ints(6, 1), 1, all_2},
      {"2d_strided", {3, 17, 22, 5}, {3, 9, 11, 18}, {3, 3}, Ints(4, 1), 1, {2, 2}},
      {"2d_strided_pads", {1, 15, 14, 3}, {1, 8, 8, 4}, {3, 3}, {1, 0, 1, 4}, 1, {2, 2}}};
}

/// Calls visit(i of x, j of y, tap r, s, t) for every pair of voxels that a tap joins; indices of voxels, not elements.
template <class Visit>
void for_each_pair(const Geometry& g, Visit visit) {
  const int spatial = static_cast<int>(g.kernel.size());
  Extents voxels = g.y;
  voxels[spatial + 1] = 1;
  std::int64_t j = 0;
  for_each_index(voxels, [&](const Extents& at) {
    for_each_index(Extents(std::span(g.kernel)), [&](const Extents& tap) {
      std::int64_t i = at[0];
      for (int d = 0; d < spatial; ++d) {
        const std::int64_t p =
            at[d + 1] * g.stride(d) - g.pads[static_cast<std::size_t>(d)] + tap[d];
        if (p < 0 || p >= g.x[d + 1]) return;
        i = i * g.x[d + 1] + p;
      }
      visit(i, j, spatial == 3 ? tap[0] : 0, tap[spatial - 2], tap[spatial - 1]);
    });
    ++j;
  });
}

Weights draw_weights(const Geometry& g) {
  Weights w{g.y.back(), g.taps(), g.x.back(), {}};
  std::uint64_t state = 12345;
  for (std::int64_t i = 0; i < g.weight().elements(); ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    w.data.push_back(static_cast<double>(state >> 40) / (1 << 23) - 1);
  }
  return w;
}

/// Makes a case read activation((x - shift) * scale + offset): input 1 becomes the coefficients, [n or 1, 3, c].
void normalize_input(OpCase& c, std::int64_t groups, const std::string& activation) {
  const Extents x = c.inputs[0].extents;
  c.name += activation.empty() ? "_normalized" : "_" + activation;
  c.op = "Normalized" + c.op;
  c.attrs.set("activation", activation);
  c.attrs.set("alpha", 0.25);
  c.inputs.insert(c.inputs.begin() + 1, {.extents = {groups, 3, x.back()}});
  if (c.derive)
    c.derive = [derive = c.derive](std::vector<RefTensor>& inputs) {
      std::vector<RefTensor> plain = inputs;  // as the case without coefficients has them
      plain.erase(plain.begin() + 1);
      derive(plain);
      for (std::size_t i = 1; i < plain.size(); ++i) inputs[i + 1] = plain[i];
    };
  c.reference = [reference = c.reference](ReferenceCall& call) {
    ReferenceCall plain = call;
    plain.inputs.erase(plain.inputs.begin() + 1);
    const RefTensor& k = call.in(1);
    const std::string& name = call.attrs.string("activation");
    const double slope = name == "Relu" ? 0 : name == "LeakyRelu" ? call.attrs.real("alpha") : 1;
    for_each_index(call.in(0).extents, [&](const Extents& i) {
      const std::int64_t n = k.dim(0) == 1 ? 0 : i[0], ch = i.back();
      const double z = (call.in(0).at(i) - k(n, 0, ch)) * k(n, 1, ch) + k(n, 2, ch);
      plain.inputs[0].at(i) = z < 0 ? slope * z : z;
    });
    reference(plain);
    call.outputs = plain.outputs;
  };
}

/// Errors of the transforms: about as many bits as the growth of the numbers in them.
constexpr double kSlack = 4;

OpCase conv_case(const Geometry& g, bool bias) {
  const Weights w = draw_weights(g);
  const WeightTransform transform = g.weight_transform(false);
  const Extents u = transform.extents(w.k, w.d, w.c);
  OpCase c{.name = g.name + (bias ? "_bias" : ""),
           .op = "WinogradConv",
           .attrs = g.attrs(),
           .inputs = {{.extents = g.x}, {.extents = u}},
           .outputs = {{DType::f32, g.y}},
           .terms = g.weight().elements() / g.y.back(),
           .slack = kSlack};
  c.attrs.set("channels", g.y.back());
  if (bias) c.inputs.push_back({.extents = {g.y.back()}});
  c.derive = [w, transform](std::vector<RefTensor>& inputs) { transform.run(w, inputs[1]); };
  c.reference = [g, w](ReferenceCall& call) {
    for_each_pair(g, [&](auto i, auto j, auto r, auto s, auto t) {
      for (std::int64_t k = 0; k < w.k; ++k)
        for (std::int64_t ci = 0; ci < w.c; ++ci)
          call.out(0)[j * w.k + k] += call.in(0)[i * w.c + ci] * w.at(k, r, s, t, ci);
    });
    if (call.has_input(2))
      for (std::int64_t i = 0; i < call.out(0).elements(); ++i)
        call.out(0)[i] += call.in(2)[i % w.k];
  };
  return c;
}

/// The gradient by x: WinogradConv of dy with transposed weights and complementary pads; with a stride of 2 an operator of its own.
OpCase grad_input_case(const Geometry& g) {
  const Weights w = draw_weights(g);
  const WeightTransform transform = g.weight_transform(true);
  const Extents u = transform.extents(w.k, w.d, w.c);
  OpCase c{.name = g.name + "_transposed",
           .op = "WinogradConv",
           .inputs = {{.extents = g.y}, {.extents = u}},
           .outputs = {{DType::f32, g.x}},
           .terms = g.weight().elements() / g.x.back(),
           .slack = kSlack};
  if (g.has_phases()) {
    c.op = "WinogradConvGradInput";
    c.attrs = {{"kernel_shape", g.kernel},
               {"pads", g.pads},
               {"strides", g.strides},
               {"input_shape", Ints(g.x.begin(), g.x.end())}};
  } else {
    Ints pads = g.pads;
    for (std::size_t i = 0; i < pads.size(); ++i)
      pads[i] = g.kernel[i % g.kernel.size()] - 1 - pads[i];
    c.attrs = {{"kernel_shape", g.kernel},
               {"pads", pads},
               {"channels", g.x.back()},
               {"tile_depth", g.tile_depth}};
  }
  c.derive = [w, transform](std::vector<RefTensor>& inputs) { transform.run(w, inputs[1]); };
  c.reference = [g, w](ReferenceCall& call) {
    for_each_pair(g, [&](auto i, auto j, auto r, auto s, auto t) {
      for (std::int64_t k = 0; k < w.k; ++k)
        for (std::int64_t ci = 0; ci < w.c; ++ci)
          call.out(0)[i * w.c + ci] += call.in(0)[j * w.k + k] * w.at(k, r, s, t, ci);
    });
  };
  return c;
}

OpCase grad_weight_case(const Geometry& g) {
  return {.name = g.name,
          .op = "WinogradConvGradWeight",
          .attrs = g.attrs(),
          .inputs = {{.extents = g.x}, {.extents = g.y}},
          .outputs = {{DType::f32, g.weight()}},
          .reference =
              [g](ReferenceCall& call) {
                const std::int64_t channels = g.x.back(), k_count = g.y.back();
                for_each_pair(g, [&](auto i, auto j, auto r, auto s, auto t) {
                  for (std::int64_t k = 0; k < k_count; ++k)
                    for (std::int64_t c = 0; c < channels; ++c)
                      call.out(0)[(((k * g.taps() + r) * kTaps + s) * kTaps + t) * channels + c] +=
                          call.in(0)[i * channels + c] * call.in(1)[j * k_count + k];
                });
              },
          .terms = g.y.elements() / g.y.back(),
          .slack = kSlack};
}

OpCase weights_case(const std::string& name, const Extents& w, const WeightTransform& transform) {
  const std::int64_t d = w.rank() == 5 ? w[1] : 1;
  return {.name = name + (transform.transposed ? "_transposed" : ""),
          .op = "WinogradWeights",
          .attrs = {{"transposed", std::int64_t{transform.transposed}},
                    {"tile_depth", transform.tile_depth},
                    {"stride", transform.stride}},
          .inputs = {{.extents = w}},
          .outputs = {{DType::f32, transform.extents(w[0], d, w.back())}},
          .reference =
              [w, d, transform](ReferenceCall& call) {
                transform.run({w[0], d, w.back(), call.in(0).data}, call.out(0));
              },
          .terms = kTaps * kTaps * kTaps};
}

/// Some of the cases with x and y, or x and dy, in bf16.
void add_bf16(std::vector<OpCase>& cases) {
  const std::vector<OpCase> in_f32 = cases;
  for (const OpCase& c : in_f32) {
    if (!c.name.starts_with("3d_odd") && !c.name.starts_with("3d_c20") &&
        !c.name.starts_with("2d_"))
      continue;
    if (c.op.ends_with("GradWeight"))
      cases.push_back(in_bf16(c, {0, c.inputs.size() - 1}, {}));
    else
      cases.push_back(in_bf16(c, {0}, {0}));
  }
}

OpCase error_case(const std::string& name, Attrs attrs, const Extents& u,
                  const std::string& error) {
  return {.name = name,
          .op = "WinogradConv",
          .attrs = std::move(attrs),
          .inputs = {{.extents = {1, 6, 6, 4}}, {.extents = u}},
          .error = error};
}

}  // namespace

std::vector<OpCase> winograd_cases() {
  std::vector<OpCase> cases;
  for (const auto& g : geometries()) {
    cases.push_back(conv_case(g, false));
    if (g.name.starts_with("3d_odd") || g.name == "2d") cases.push_back(conv_case(g, true));
    if (g.name != "2d_asymmetric_pads") cases.push_back(grad_input_case(g));
    cases.push_back(grad_weight_case(g));
  }
  for (const auto& g : strided_geometries()) cases.push_back(grad_input_case(g));
  for (const auto& g : geometries()) {
    const bool is_odd = g.name.starts_with("3d_odd"), is_2d = g.name == "2d";
    if (!is_odd && !is_2d && !g.name.starts_with("3d_two_blocks_of_tiles") &&
        !g.name.starts_with("3d_blocks_of_channels"))
      continue;
    for (OpCase c : {conv_case(g, is_2d), grad_weight_case(g)}) {
      normalize_input(c, is_2d ? 1 : g.x[0], is_odd ? "Relu" : is_2d ? "LeakyRelu" : "");
      cases.push_back(std::move(c));
    }
  }
  add_bf16(cases);
  cases.push_back(grad_weight_case(
      {"2d_blocks_of_many_channels", {1, 33, 29, 130}, {1, 33, 29, 114}, {3, 3}, Ints(4, 1)}));
  for (const std::int64_t depth : {1, 2, 4})  // y is 4 MiB
    cases.push_back(conv_case({"3d_past_the_caches_depth" + std::to_string(depth),
                               {1, 16, 64, 64, 1},
                               {1, 16, 64, 64, 16},
                               {3, 3, 3},
                               Ints(6, 1),
                               depth},
                              true));
  for (const bool transposed : {false, true}) {
    for (const std::int64_t depth : {1, 2, 4})
      cases.push_back(
          weights_case("3d_depth" + std::to_string(depth), {35, 3, 3, 3, 20}, {transposed, depth}));
    cases.push_back(weights_case("2d", {16, 3, 3, 33}, {transposed}));
  }
  const WeightTransform of_phases{.transposed = true, .stride = 2};
  cases.push_back(weights_case("3d_strided", {35, 3, 3, 3, 20}, of_phases));
  cases.push_back(weights_case("2d_strided", {16, 3, 3, 33}, of_phases));
  const Extents u{1, 36 * 5 * 16};
  cases.push_back(error_case(
      "rejects_strides", {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 1}}, {"channels", 8}},
      u, "stride 1"));
  cases.push_back(error_case("rejects_other_kernels",
                             {{"kernel_shape", Ints{3, 5}}, {"channels", 8}}, u, "3x3 or Dx3x3"));
  cases.push_back(error_case("rejects_17x3x3", {{"kernel_shape", Ints{17, 3, 3}}, {"channels", 8}},
                             u, "Dx3x3 with D up to 16"));
  cases.push_back({.name = "rejects_17x3x3",
                   .op = "WinogradWeights",
                   .inputs = {{.extents = {8, 17, 3, 3, 4}}},
                   .error = "[K, D, 3, 3, C] with D up to 16"});
  cases.push_back(error_case("rejects_depth_of_tiles_in_2d",
                             {{"kernel_shape", Ints{3, 3}}, {"channels", 8}, {"tile_depth", 4}}, u,
                             "tile_depth=4 with 1 taps"));
  cases.push_back(error_case("rejects_other_weights",
                             {{"kernel_shape", Ints{3, 3}}, {"channels", 17}}, u,
                             "make it [2,2880]"));
  return cases;
}

}  // namespace hpdlf::test
