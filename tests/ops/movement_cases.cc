// Cases of Copy and Fill.
#include "base/element.hpp"
#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

/// As an element of type `dtype` holds it.
double rounded(double value, DType dtype) {
  std::byte element[8];
  store_element(element, dtype, 0, value);
  return load_element(element, dtype, 0);
}

/// Exact, or rounded once where the type narrows.
OpCase copy(const std::string& name, const Extents& x, DType from, DType to) {
  const bool converts = from != to;
  return {.name = name,
          .op = "Copy",
          .attrs = converts ? Attrs{{"to", std::string(name_of(to))}} : Attrs{},
          .inputs = {{.dtype = from,
                      .extents = x,
                      .draw = is_float(from) ? Draw() : Draw::labels(100)}},
          .outputs = {{to, x}},
          .reference =
              [to, narrows = size_of(to) < size_of(from)](ReferenceCall& call) {
                for (std::int64_t i = 0; i < call.in(0).elements(); ++i)
                  call.out(0)[i] = narrows ? rounded(call.in(0)[i], to) : call.in(0)[i];
              },
          .slack = 0,
          .differentiate = is_float(from) && !converts ? std::vector{0} : std::vector<int>{}};
}

OpCase fill(const std::string& name, const Extents& y, DType dtype, double value) {
  return {.name = name,
          .op = "Fill",
          .attrs = {{"value", value},
                    {"shape", std::vector<std::int64_t>(y.begin(), y.end())},
                    {"dtype", std::string(name_of(dtype))}},
          .outputs = {{dtype, y}},
          .reference =
              [](ReferenceCall& call) {
                for (auto& y : call.out(0).data) y = call.attrs.real("value");
              },
          .slack = 0};
}

}  // namespace

std::vector<OpCase> movement_cases() {
  return {
      copy("f32_2x3x5x7x5", {2, 3, 5, 7, 5}, DType::f32, DType::f32),
      copy("u8_2x3x5x7", {2, 3, 5, 7}, DType::u8, DType::u8),
      copy("i64_37", {37}, DType::i64, DType::i64),
      copy("scalar", {}, DType::f64, DType::f64),
      copy("f32_to_bf16_3x5x19", {3, 5, 19}, DType::f32, DType::bf16),
      copy("bf16_to_f32_3x5x19", {3, 5, 19}, DType::bf16, DType::f32),
      copy("f32_to_f64_3x5x19", {3, 5, 19}, DType::f32, DType::f64),
      copy("f64_to_f32_3x5x19", {3, 5, 19}, DType::f64, DType::f32),
      fill("zero_3x5x7x9", {3, 5, 7, 9}, DType::f32, 0),
      fill("value_2x3x700", {2, 3, 700}, DType::f32, 1.5),
      fill("f64_37", {37}, DType::f64, 0.1),
      fill("bf16_3x5", {3, 5}, DType::bf16, -2),
      fill("u8_3x5x9", {3, 5, 9}, DType::u8, 7),
      fill("i64_scalar", {}, DType::i64, -3),
      {.name = "unknown_type",
       .op = "Copy",
       .attrs = {{"to", std::string("float")}},
       .inputs = {{.extents = {3}}},
       .error = "to=`float` is no element type"},
      {.name = "negative_extent",
       .op = "Fill",
       .attrs = {{"shape", std::vector<std::int64_t>{3, -1}}},
       .error = "shape=[3,-1] of a Fill has a negative extent"},
  };
}

}  // namespace hpdlf::test
