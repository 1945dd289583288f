// Cases of the operators that move or convert elements. The references go element by element.
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

using Integers = std::vector<std::int64_t>;

int axis_of(const ReferenceCall& call) {
  const auto axis = static_cast<int>(call.attrs.integer("axis"));
  return axis < 0 ? axis + call.in(0).extents.rank() : axis;
}

void concat_reference(ReferenceCall& call) {
  std::int64_t start = 0;
  for (const auto& x : call.inputs) {
    for_each_index(x.extents, [&](const Extents& i) {
      Extents to = i;
      to[axis_of(call)] += start;
      call.out(0).at(to) = x.at(i);
    });
    start += x.extents[axis_of(call)];
  }
}

void split_reference(ReferenceCall& call) {
  std::int64_t start = 0;
  for (auto& y : call.outputs) {
    for_each_index(y.extents, [&](const Extents& i) {
      Extents from = i;
      from[axis_of(call)] += start;
      y.at(i) = call.in(0).at(from);
    });
    start += y.extents[axis_of(call)];
  }
}

/// Where element 0 of a slice lies and how it steps, written out by hand for each case.
struct SlicePosition {
  Extents start, step;

  [[nodiscard]] Extents source(const Extents& index) const {
    Extents from = index;
    for (int i = 0; i < index.rank(); ++i) from[i] = start[i] + index[i] * step[i];
    return from;
  }
};

Reference slice_reference(const SlicePosition& position) {
  return [position](ReferenceCall& call) {
    for_each_index(call.out(0).extents, [&](const Extents& i) {
      call.out(0).at(i) = call.in(0).at(position.source(i));
    });
  };
}

Reference slice_grad_reference(const SlicePosition& position) {
  return [position](ReferenceCall& call) {
    for_each_index(call.in(0).extents, [&](const Extents& i) {
      call.out(0).at(position.source(i)) = call.in(0).at(i);
    });
  };
}

void same_order_reference(ReferenceCall& call) { call.out(0).data = call.in(0).data; }

void transpose_reference(ReferenceCall& call) {
  const auto& perm = call.attrs.integers("perm");
  const int rank = call.in(0).extents.rank();
  for_each_index(call.out(0).extents, [&](const Extents& i) {
    Extents from = i;
    for (int d = 0; d < rank; ++d)
      from[perm.empty() ? rank - 1 - d : static_cast<int>(perm[static_cast<std::size_t>(d)])] =
          i[d];
    call.out(0).at(i) = call.in(0).at(from);
  });
}

void expand_reference(ReferenceCall& call) {
  const Extents& x = call.in(0).extents;
  for_each_index(call.out(0).extents, [&](const Extents& i) {
    Extents from = x;
    for (int d = 0; d < x.rank(); ++d) from[d] = x[d] == 1 ? 0 : i[i.rank() - x.rank() + d];
    call.out(0).at(i) = call.in(0).at(from);
  });
}

void truncate_reference(ReferenceCall& call) {
  for (std::int64_t i = 0; i < call.in(0).elements(); ++i)
    call.out(0)[i] = std::trunc(call.in(0)[i]);
}

void add_concat_and_split(std::vector<OpCase>& cases) {
  struct Cut {
    std::string name;
    std::int64_t axis;
    Extents whole;
    Integers parts;
    DType dtype = DType::f32;
  };
  const Cut cuts[] = {{"channels_1x3x4x5x7", -1, {1, 3, 4, 5, 7}, {2, 5}},
                      {"rows_2x7x3x6", 1, {2, 7, 3, 6}, {1, 4, 2}},
                      {"samples_3x5x4", 0, {3, 5, 4}, {2, 1}},
                      {"one_part_3x5", 1, {3, 5}, {5}},
                      {"u8_4x9", -1, {4, 9}, {3, 6}, DType::u8},
                      {"f64_4x9", -1, {4, 9}, {3, 6}, DType::f64}};
  for (const auto& c : cuts) {
    std::vector<InputCase> inputs;
    std::vector<graph::TensorType> outputs;
    std::vector<int> differentiate;
    for (const auto part : c.parts) {
      Extents e = c.whole;
      e[c.axis < 0 ? static_cast<int>(c.axis) + e.rank() : static_cast<int>(c.axis)] = part;
      if (c.dtype != DType::u8) differentiate.push_back(static_cast<int>(inputs.size()));
      inputs.push_back({.dtype = c.dtype,
                        .extents = e,
                        .draw = c.dtype == DType::u8 ? Draw::labels(200) : Draw{}});
      outputs.push_back({c.dtype, e});
    }
    const InputCase whole{.dtype = c.dtype, .extents = c.whole, .draw = inputs[0].draw};
    cases.push_back({.name = c.name,
                     .op = "Concat",
                     .attrs = {{"axis", c.axis}},
                     .inputs = inputs,
                     .outputs = {{c.dtype, c.whole}},
                     .reference = concat_reference,
                     .differentiate = differentiate});
    if (!differentiate.empty()) differentiate = {0};
    cases.push_back({.name = c.name,
                     .op = "Split",
                     .attrs = {{"axis", c.axis}, {"split", c.parts}},
                     .inputs = {whole},
                     .outputs = outputs,
                     .reference = split_reference,
                     .differentiate = differentiate});
  }
}

void add_slices(std::vector<OpCase>& cases) {
  struct Cut {
    std::string name;
    Extents x, y;
    Integers starts, ends, axes, steps;
    SlicePosition position;
  };
  const Cut cuts[] = {
      {"middle_2x9x5x4",
       {2, 9, 5, 4},
       {2, 4, 5, 4},
       {3},
       {7},
       {1},
       {},
       {{0, 3, 0, 0}, {1, 1, 1, 1}}},
      {"channels_from_back_3x4x8",
       {3, 4, 8},
       {3, 4, 3},
       {-3},
       {100},
       {-1},
       {},
       {{0, 0, 5}, {1, 1, 1}}},
      {"steps_7x9", {7, 9}, {3, 4}, {1, 0}, {7, 8}, {}, {2, 2}, {{1, 0}, {2, 2}}},
      {"backwards_5x6", {5, 6}, {5, 6}, {-1}, {-100}, {1}, {-1}, {{0, 5}, {1, -1}}},
      {"backwards_by_2_5x6", {5, 6}, {2, 6}, {3}, {0}, {0}, {-2}, {{3, 0}, {-2, 1}}}};
  for (const auto& c : cuts) {
    Attrs attrs{{"starts", c.starts}, {"ends", c.ends}, {"axes", c.axes}, {"steps", c.steps}};
    cases.push_back({.name = c.name,
                     .op = "Slice",
                     .attrs = attrs,
                     .inputs = {{.extents = c.x}},
                     .outputs = {{DType::f32, c.y}},
                     .reference = slice_reference(c.position),
                     .differentiate = {0}});
    attrs.set("input_shape", Integers(c.x.begin(), c.x.end()));
    cases.push_back({.name = c.name,
                     .op = "SliceGrad",
                     .attrs = attrs,
                     .inputs = {{.extents = c.y}},
                     .outputs = {{DType::f32, c.x}},
                     .reference = slice_grad_reference(c.position)});
  }
}

void add_reshapes(std::vector<OpCase>& cases) {
  struct Change {
    std::string name;
    Extents x;
    Integers shape;
    Extents y;
    DType dtype = DType::f32;
  };
  const Change changes[] = {{"merge_space_2x3x4x5x6", {2, 3, 4, 5, 6}, {0, -1, 6}, {2, 60, 6}},
                            {"split_heads_2x5x12", {2, 5, 12}, {0, 0, 3, 4}, {2, 5, 3, 4}},
                            {"regroup_3x8x5", {3, 8, 5}, {6, 20}, {6, 20}},
                            {"add_dimension_4x7", {4, 7}, {4, 1, 7}, {4, 1, 7}},
                            {"same_4x7", {4, 7}, {4, 7}, {4, 7}},
                            {"scalar", {1, 1}, {}, {}},
                            {"i64_3x8", {3, 8}, {24}, {24}, DType::i64}};
  for (const auto& c : changes)
    cases.push_back(
        {.name = c.name,
         .op = "Reshape",
         .attrs = {{"shape", c.shape}},
         .inputs = {{.dtype = c.dtype,
                     .extents = c.x,
                     .draw = is_float(c.dtype) ? Draw{} : Draw::labels(1000)}},
         .outputs = {{c.dtype, c.y}},
         .reference = same_order_reference,
         .differentiate = is_float(c.dtype) ? std::vector<int>{0} : std::vector<int>{}});
}

void add_transposes(std::vector<OpCase>& cases) {
  struct Change {
    std::string name;
    Extents x;
    Integers perm;
    Extents y;
    DType dtype = DType::f32;
  };
  const Change changes[] = {
      {"matrix_19x37", {19, 37}, {}, {37, 19}},
      {"heads_2x5x3x4", {2, 5, 3, 4}, {0, 2, 1, 3}, {2, 3, 5, 4}},
      {"channels_first_1x3x4x5x21", {1, 3, 4, 5, 21}, {0, 4, 1, 2, 3}, {1, 21, 3, 4, 5}},
      {"reversed_3x4x5", {3, 4, 5}, {}, {5, 4, 3}},
      {"same_3x4", {3, 4}, {0, 1}, {3, 4}},
      {"bf16_20x33", {20, 33}, {1, 0}, {33, 20}, DType::bf16},
      {"u8_20x33", {20, 33}, {1, 0}, {33, 20}, DType::u8}};
  for (const auto& c : changes)
    cases.push_back(
        {.name = c.name,
         .op = "Transpose",
         .attrs = {{"perm", c.perm}},
         .inputs = {{.dtype = c.dtype,
                     .extents = c.x,
                     .draw = is_float(c.dtype) ? Draw{} : Draw::labels(200)}},
         .outputs = {{c.dtype, c.y}},
         .reference = transpose_reference,
         .differentiate = c.dtype == DType::f32 ? std::vector<int>{0} : std::vector<int>{}});
}

void add_expansions(std::vector<OpCase>& cases) {
  struct Change {
    std::string name;
    Extents x;
    Integers shape;
  };
  const Change changes[] = {{"channels_7", {7}, {3, 4, 7}},
                            {"space_2x1x1x6", {2, 1, 1, 6}, {2, 3, 4, 6}},
                            {"last_3x1", {3, 1}, {2, 3, 5}},
                            {"same_3x4", {3, 4}, {3, 4}},
                            {"scalar", {}, {2, 3}}};
  for (const auto& c : changes)
    cases.push_back({.name = c.name,
                     .op = "Expand",
                     .attrs = {{"shape", c.shape}},
                     .inputs = {{.extents = c.x}},
                     .outputs = {{DType::f32, Extents(std::span(c.shape))}},
                     .reference = expand_reference,
                     .terms = 64,
                     .differentiate = {0}});
}

void add_casts(std::vector<OpCase>& cases) {
  struct Conversion {
    std::string name;
    DType from, to;
    Draw draw;
    Reference reference = same_order_reference;
  };
  const Conversion conversions[] = {
      {"f32_to_bf16", DType::f32, DType::bf16, {}},
      {"bf16_to_f32", DType::bf16, DType::f32, {}},
      {"f32_to_f64", DType::f32, DType::f64, {}},
      {"f64_to_f32", DType::f64, DType::f32, {}},
      {"f64_to_bf16", DType::f64, DType::bf16, {}},
      {"f32_to_f32", DType::f32, DType::f32, {}},
      {"f32_to_i32", DType::f32, DType::i32, Draw::uniform(-99, 99), truncate_reference},
      {"u8_to_f32", DType::u8, DType::f32, Draw::labels(256)},
      {"i64_to_u8", DType::i64, DType::u8, Draw::labels(256)},
      {"i32_to_i64", DType::i32, DType::i64, Draw::labels(70000)}};
  for (const auto& c : conversions)
    cases.push_back(
        {.name = c.name + "_3x5x11",
         .op = "Cast",
         .attrs = {{"to", std::string(name_of(c.to))}},
         .inputs = {{.dtype = c.from, .extents = {3, 5, 11}, .draw = c.draw}},
         .outputs = {{c.to, {3, 5, 11}}},
         .reference = c.reference,
         .differentiate = c.name == "f32_to_f64" ? std::vector<int>{0} : std::vector<int>{}});
}

void add_errors(std::vector<OpCase>& cases) {
  cases.push_back({.name = "different_rows",
                   .op = "Concat",
                   .inputs = {{.extents = {2, 3}}, {.extents = {3, 3}}},
                   .error = "differ elsewhere than along axis 1"});
  cases.push_back({.name = "different_rank",
                   .op = "Concat",
                   .inputs = {{.extents = {2, 3}}, {.extents = {2, 3, 1}}},
                   .error = "differ in rank"});
  cases.push_back({.name = "parts_do_not_add_up",
                   .op = "Split",
                   .attrs = {{"axis", std::int64_t{1}}, {"split", Integers{2, 2}}},
                   .inputs = {{.extents = {2, 5}}},
                   .error = "adds up to 4"});
  cases.push_back({.name = "empty",
                   .op = "Slice",
                   .attrs = {{"starts", Integers{3}}, {"ends", Integers{3}}},
                   .inputs = {{.extents = {5}}},
                   .error = "is empty"});
  cases.push_back(
      {.name = "step_0",
       .op = "Slice",
       .attrs = {{"starts", Integers{0}}, {"ends", Integers{3}}, {"steps", Integers{0}}},
       .inputs = {{.extents = {5}}},
       .error = "holds 0"});
  cases.push_back({.name = "elements_differ",
                   .op = "Reshape",
                   .attrs = {{"shape", Integers{4, -1}}},
                   .inputs = {{.extents = {2, 3}}},
                   .error = "with 6 elements to shape=[4,-1]"});
  cases.push_back({.name = "no_permutation",
                   .op = "Transpose",
                   .attrs = {{"perm", Integers{0, 0}}},
                   .inputs = {{.extents = {2, 3}}},
                   .error = "is no permutation"});
  cases.push_back({.name = "extent_3_to_5",
                   .op = "Expand",
                   .attrs = {{"shape", Integers{2, 5}}},
                   .inputs = {{.extents = {2, 3}}},
                   .error = "3 along dimension 1"});
  cases.push_back({.name = "unknown_dtype",
                   .op = "Cast",
                   .attrs = {{"to", std::string("float")}},
                   .inputs = {{.extents = {2}}},
                   .error = "is no dtype"});
}

}  // namespace

std::vector<OpCase> layout_cases() {
  std::vector<OpCase> cases;
  add_concat_and_split(cases);
  add_slices(cases);
  add_reshapes(cases);
  add_transposes(cases);
  add_expansions(cases);
  add_casts(cases);
  add_errors(cases);
  return cases;
}

}  // namespace hpdlf::test
