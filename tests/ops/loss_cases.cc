// Cases of the losses.
#include <cmath>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {
namespace {

/// Calls body(index of the voxel, its label, its class probabilities) for voxels that are not ignored.
template <class Body>
void for_each_voxel(const ReferenceCall& call, const Body& body) {
  for_each_index(call.in(1).extents, [&](const Extents& voxel) {
    const auto label = static_cast<std::int64_t>(call.in(1).at(voxel));
    if (label == call.attrs.integer("ignore_index")) return;
    std::vector<double> p(static_cast<std::size_t>(call.in(0).dim(-1)));
    double sum = 0;
    for (std::size_t c = 0; c < p.size(); ++c) {
      Extents i = voxel;
      i.push_back(static_cast<std::int64_t>(c));
      sum += p[c] = std::exp(call.in(0).at(i));
    }
    for (auto& q : p) q /= sum;
    body(voxel, label, p);
  });
}

Extents with_class(Extents voxel, std::size_t c) {
  voxel.push_back(static_cast<std::int64_t>(c));
  return voxel;
}

double weight_of(const ReferenceCall& call, int input, std::int64_t label) {
  return call.has_input(input) ? call.in(input)[label] : 1;
}

void cross_entropy_sums_reference(ReferenceCall& call) {
  for_each_voxel(call, [&](const Extents&, std::int64_t label, const std::vector<double>& p) {
    const double w = weight_of(call, 2, label);
    call.out(0)(0) -= w * std::log(p[static_cast<std::size_t>(label)]);
    call.out(0)(1) += w;
  });
}

void cross_entropy_grad_reference(ReferenceCall& call) {
  for_each_voxel(call, [&](const Extents& voxel, std::int64_t label, const std::vector<double>& p) {
    const double factor = call.in(2)(0) * weight_of(call, 3, label);
    for (std::size_t c = 0; c < p.size(); ++c)
      call.out(0).at(with_class(voxel, c)) =
          factor * (p[c] - (static_cast<std::int64_t>(c) == label ? 1 : 0));
  });
}

void dice_sums_reference(ReferenceCall& call) {
  for_each_voxel(call, [&](const Extents& voxel, std::int64_t label, const std::vector<double>& p) {
    const std::int64_t n = call.out(0).dim(0) == 1 ? 0 : voxel[0];
    for (std::size_t c = 0; c < p.size(); ++c)
      call.out(0)(n, 1, static_cast<std::int64_t>(c)) += p[c];
    call.out(0)(n, 0, label) += p[static_cast<std::size_t>(label)];
    call.out(0)(n, 2, label) += 1;
  });
}

void dice_grad_reference(ReferenceCall& call) {
  const RefTensor& gsums = call.in(2);
  for_each_voxel(call, [&](const Extents& voxel, std::int64_t label, const std::vector<double>& p) {
    const std::int64_t n = gsums.dim(0) == 1 ? 0 : voxel[0];
    std::vector<double> dp(p.size());
    double dot = 0;
    for (std::size_t c = 0; c < p.size(); ++c) {
      const auto k = static_cast<std::int64_t>(c);
      dp[c] = gsums(n, 1, k) + (k == label ? gsums(n, 0, k) : 0);
      dot += p[c] * dp[c];
    }
    for (std::size_t c = 0; c < p.size(); ++c)
      call.out(0).at(with_class(voxel, c)) = p[c] * (dp[c] - dot);
  });
}

void cross_entropy_loss_reference(ReferenceCall& call) {
  call.out(0)[0] = call.in(0)(1) == 0 ? 0 : call.in(0)(0) / call.in(0)(1);
}
void cross_entropy_loss_grad_reference(ReferenceCall& call) {
  const double loss = call.in(0)(0), weight = call.in(0)(1), outer = call.in(1)[0];
  if (weight == 0) return;
  call.out(0)(0) = outer / weight;
  call.out(0)(1) = -outer * loss / weight / weight;
}

void dice_loss_reference(ReferenceCall& call) {
  const RefTensor& sums = call.in(0);
  const std::int64_t first = call.attrs.integer("include_background") != 0 ? 0 : 1;
  double sum = 0;
  for (std::int64_t n = 0; n < sums.dim(0); ++n)
    for (std::int64_t c = first; c < sums.dim(2); ++c)
      sum += (2 * sums(n, 0, c) + call.attrs.real("smooth_nr")) /
             (sums(n, 1, c) + sums(n, 2, c) + call.attrs.real("smooth_dr"));
  call.out(0)[0] = 1 - sum / static_cast<double>(sums.dim(0) * (sums.dim(2) - first));
}
/// By differences of the loss, which is smooth: independent of the formula in the kernel.
void dice_loss_grad_reference(ReferenceCall& call) {
  constexpr double kStep = 1e-5;
  for (std::int64_t i = 0; i < call.in(0).elements(); ++i) {
    const auto loss_at = [&](double distance) {
      ReferenceCall moved{
          .attrs = call.attrs, .inputs = {call.in(0)}, .outputs = {RefTensor(Extents{})}};
      moved.inputs[0][i] += distance;
      dice_loss_reference(moved);
      return moved.out(0)[0];
    };
    call.out(0)[i] = call.in(1)[0] * (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
  }
}

/// Scores and labels that the cases of all voxel operators share.
struct Scores {
  std::string name;
  Extents logits;
  DType labels = DType::u8;
  bool weighted = false;
  std::int64_t ignore_index = -1;
  Draw draw = Draw::uniform(-3, 3);

  [[nodiscard]] std::int64_t classes() const { return logits.back(); }
  [[nodiscard]] std::vector<InputCase> inputs() const {
    Extents voxels;
    for (int i = 0; i + 1 < logits.rank(); ++i) voxels.push_back(logits[i]);
    return {{.extents = logits, .draw = draw},
            {.dtype = labels, .extents = voxels, .draw = Draw::labels(classes())}};
  }
  [[nodiscard]] InputCase class_weight() const {
    return {.extents = {classes()}, .draw = Draw::positive()};
  }
};

std::vector<Scores> scores() {
  return {
      {.name = "volume_2x3x5x7x5", .logits = {2, 3, 5, 7, 5}, .weighted = true},
      {.name = "two_classes_1x2x3x37x2", .logits = {1, 2, 3, 37, 2}},
      {.name = "image_3x5x9x21",
       .logits = {3, 5, 9, 21},
       .labels = DType::i32,
       .weighted = true,
       .ignore_index = 3},
      {.name = "tokens_2x11x131", .logits = {2, 11, 131}, .labels = DType::i64},
      {.name = "samples_19x10", .logits = {19, 10}, .labels = DType::i64, .ignore_index = 0},
      {.name = "one_voxel_1x4", .logits = {1, 4}},
      {.name = "sure_5x8x3", .logits = {5, 8, 3}, .draw = Draw::uniform(-40, 40)},
  };
}

void add_voxel_cases(std::vector<OpCase>& cases, const Scores& s) {
  const graph::TensorType pair{DType::f64, {2}}, logits{DType::f32, s.logits};
  const std::int64_t voxels = s.logits.elements() / s.classes();
  std::vector<InputCase> forward = s.inputs(), backward = s.inputs();
  backward.push_back({.dtype = DType::f64, .extents = {2}});
  if (s.weighted) {
    forward.push_back(s.class_weight());
    backward.push_back(s.class_weight());
  }
  const Attrs ignore = {{"ignore_index", s.ignore_index}};
  cases.push_back({.name = s.name,
                   .op = "CrossEntropySums",
                   .attrs = ignore,
                   .inputs = forward,
                   .outputs = {pair},
                   .reference = cross_entropy_sums_reference,
                   .terms = voxels,
                   .differentiate = {0}});
  cases.push_back({.name = s.name,
                   .op = "CrossEntropyGrad",
                   .attrs = ignore,
                   .inputs = backward,
                   .outputs = {logits},
                   .reference = cross_entropy_grad_reference,
                   .slack = 2});
  for (const std::int64_t batch : {0, 1}) {
    const graph::TensorType sums{DType::f64, {batch != 0 ? 1 : s.logits[0], 3, s.classes()}};
    const Attrs attrs = {{"batch", batch}, {"ignore_index", s.ignore_index}};
    const std::string name = s.name + (batch != 0 ? "_batch" : "");
    std::vector<InputCase> inputs = s.inputs();
    cases.push_back({.name = name,
                     .op = "DiceSums",
                     .attrs = attrs,
                     .inputs = inputs,
                     .outputs = {sums},
                     .reference = dice_sums_reference,
                     .terms = voxels,
                     .differentiate = {0}});
    inputs.push_back({.dtype = DType::f64, .extents = sums.extents});
    cases.push_back({.name = name,
                     .op = "DiceGrad",
                     .attrs = attrs,
                     .inputs = inputs,
                     .outputs = {logits},
                     .reference = dice_grad_reference,
                     .slack = 2});
  }
}

void add_sums_cases(std::vector<OpCase>& cases) {
  const graph::TensorType scalar{DType::f32, {}};
  const InputCase outer{.extents = {}};
  for (const bool counts : {true, false}) {
    const InputCase sums{.dtype = DType::f64,
                         .extents = {2},
                         .draw = counts ? Draw::uniform(2, 5) : Draw::constant(0)};
    const std::string name = counts ? "sums" : "no_voxel_counts";
    cases.push_back({.name = name,
                     .op = "CrossEntropyLoss",
                     .inputs = {sums},
                     .outputs = {scalar},
                     .reference = cross_entropy_loss_reference,
                     .differentiate = counts ? std::vector{0} : std::vector<int>{}});
    cases.push_back({.name = name,
                     .op = "CrossEntropyLossGrad",
                     .inputs = {sums, outer},
                     .outputs = {{DType::f64, {2}}},
                     .reference = cross_entropy_loss_grad_reference});
  }
  const auto add_dice = [&](const std::string& name, const Extents& extents, const Attrs& attrs) {
    const InputCase sums{.dtype = DType::f64, .extents = extents, .draw = Draw::uniform(1, 9)};
    cases.push_back({.name = name,
                     .op = "DiceLoss",
                     .attrs = attrs,
                     .inputs = {sums},
                     .outputs = {scalar},
                     .reference = dice_loss_reference,
                     .differentiate = {0}});
    cases.push_back({.name = name,
                     .op = "DiceLossGrad",
                     .attrs = attrs,
                     .inputs = {sums, outer},
                     .outputs = {{DType::f64, extents}},
                     .reference = dice_loss_grad_reference});
  };
  add_dice("foreground_1x3x5", {1, 3, 5}, {});
  add_dice("per_sample_3x3x4", {3, 3, 4}, {{"smooth_nr", 0.0}, {"smooth_dr", 1e-5}});
  add_dice("with_background_2x3x2", {2, 3, 2}, {{"include_background", std::int64_t{1}}});
}

void add_error_cases(std::vector<OpCase>& cases) {
  const InputCase logits{.extents = {2, 3, 4}};
  cases.push_back(
      {.name = "label_out_of_range",
       .op = "CrossEntropySums",
       .inputs = {logits, {.dtype = DType::u8, .extents = {2, 3}, .draw = Draw::constant(4)}},
       .outputs = {{DType::f64, {2}}},
       .error =
           "label 4 at [0,0] is not a class; with 4 classes it must be in [0, 4) or -1 (ignored)"});
  cases.push_back(
      {.name = "label_beyond_32_bits",
       .op = "DiceSums",
       .inputs = {logits,
                  {.dtype = DType::i64, .extents = {2, 3}, .draw = Draw::constant(4294967297.0)}},
       .outputs = {{DType::f64, {1, 3, 4}}},
       .error = "label 4294967297 at [0,0] is not a class"});
  cases.push_back(
      {.name = "other_extents",
       .op = "CrossEntropySums",
       .inputs = {logits, {.dtype = DType::u8, .extents = {2, 4}, .draw = Draw::labels(4)}},
       .error = "labels are u8[2,4], logits f32[2,3,4]"});
  cases.push_back({.name = "float_labels",
                   .op = "DiceSums",
                   .inputs = {logits, {.extents = {2, 3}}},
                   .error = "labels are f32[2,3]; they must be u8, i32 or i64"});
  cases.push_back({.name = "only_background",
                   .op = "DiceLoss",
                   .inputs = {{.dtype = DType::f64, .extents = {1, 3, 1}}},
                   .error = "they must be f64[n,3,k] with k >= 2"});
}

}  // namespace

std::vector<OpCase> loss_cases() {
  std::vector<OpCase> cases;
  for (const auto& s : scores()) add_voxel_cases(cases, s);
  add_sums_cases(cases);
  add_error_cases(cases);
  return cases;
}

}  // namespace hpdlf::test
