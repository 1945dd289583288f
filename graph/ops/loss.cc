// Losses over class scores `logits` [.., k] and integer `labels` [..]. Each is a pass over the voxels that gives a few f64 sums, so that
// any cut of the voxels adds up to the same loss, and a function of these sums. Kernels: codelets/cpu/loss.cc.
//   CrossEntropySums   sums = (sum w nll, sum w), nll = log sum_j exp(x[j]) - x[label], w = class_weight[label]
//   CrossEntropyLoss   sums0 / sums1 (torch.nn.CrossEntropyLoss); 0 if no voxel counts
//   CrossEntropyGrad   dx[c] = gsums0 w (p[c] - t[c])
//   DiceSums           sums[n][0..2][c] = (sum p t, sum p, sum t), p = softmax(logits), t = 1 where the label is c
//   DiceLoss           1 - mean over n and c of (2 sums0 + smooth_nr) / (sums1 + sums2 + smooth_dr)
//   DiceGrad           dp = gsums1 + t gsums0; dx[c] = p[c] (dp[c] - sum_j p[j] dp[j])
// Voxels labelled `ignore_index` count nowhere. Sources: PyTorch's CrossEntropyLoss; Milletari et al., V-Net, 2016, sec. 3, with sums
// instead of sums of squares (MONAI's DiceLoss).
// SPDX-License-Identifier: Apache-2.0
#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {
namespace {

void check_scores(const OpCall& call) {
  const TensorType &logits = call.input(0), &labels = call.input(1);
  HPDLF_CHECK(logits.dtype == DType::f32 && logits.extents.rank() >= 1,
              "logits are {}; they must be f32 [.., k]", to_string(logits));
  HPDLF_CHECK(labels.dtype == DType::u8 || labels.dtype == DType::i32 || labels.dtype == DType::i64,
              "labels are {}; they must be u8, i32 or i64", to_string(labels));
  Extents voxels;
  for (int i = 0; i + 1 < logits.extents.rank(); ++i) voxels.push_back(logits.extents[i]);
  HPDLF_CHECK(labels.extents == voxels,
              "labels are {}, logits {}; labels must have the extents of logits without the last",
              to_string(labels), to_string(logits));
}

void check_sums(const TensorType& sums, const TensorType& expected, std::string_view name) {
  HPDLF_CHECK(sums == expected, "{} is {} but must be {}", name, to_string(sums),
              to_string(expected));
}

TensorType scalar() { return {DType::f32, {}}; }
TensorType pair_of_sums() { return {DType::f64, {2}}; }

void check_class_weight(const OpCall& call, std::size_t input) {
  if (call.inputs.size() <= input) return;
  const TensorType expected{DType::f32, {call.input(0).extents.back()}};
  HPDLF_CHECK(call.inputs[input] == expected, "class_weight is {}; one number a class is {}",
              to_string(call.inputs[input]), to_string(expected));
}

void infer_cross_entropy_sums(OpCall& call) {
  check_scores(call);
  check_class_weight(call, 2);
  call.outputs = {pair_of_sums()};
}

void infer_cross_entropy_grad(OpCall& call) {
  check_scores(call);
  check_sums(call.input(2), pair_of_sums(), "gsums");
  check_class_weight(call, 3);
  call.outputs = {call.input(0)};
}

void infer_cross_entropy_loss(OpCall& call) {
  check_sums(call.input(0), pair_of_sums(), "sums");
  call.outputs = {scalar()};
}

void infer_cross_entropy_loss_grad(OpCall& call) {
  check_sums(call.input(0), pair_of_sums(), "sums");
  check_sums(call.input(1), scalar(), "dloss");
  call.outputs = {call.input(0)};
}

bool is_over_batch(const OpCall& call) { return call.attrs->integer("batch") != 0; }

TensorType dice_sums_type(const OpCall& call) {
  const Extents& x = call.input(0).extents;
  HPDLF_CHECK(x.rank() >= 2, "logits are {}; a Dice loss takes [n, .., k]",
              to_string(call.input(0)));
  return {DType::f64, {is_over_batch(call) ? 1 : x[0], 3, x.back()}};
}

void infer_dice_sums(OpCall& call) {
  check_scores(call);
  call.outputs = {dice_sums_type(call)};
}

void infer_dice_grad(OpCall& call) {
  check_scores(call);
  check_sums(call.input(2), dice_sums_type(call), "gsums");
  call.outputs = {call.input(0)};
}

void check_dice_sums(const OpCall& call) {
  const TensorType& sums = call.input(0);
  const std::int64_t least = call.attrs->integer("include_background") != 0 ? 1 : 2;
  HPDLF_CHECK(sums.dtype == DType::f64 && sums.extents.rank() == 3 && sums.extents[1] == 3 &&
                  sums.extents[2] >= least,
              "sums are {}; they must be f64[n,3,k] with k >= {}", to_string(sums), least);
}

void infer_dice_loss(OpCall& call) {
  check_dice_sums(call);
  call.outputs = {scalar()};
}

void infer_dice_loss_grad(OpCall& call) {
  check_dice_sums(call);
  check_sums(call.input(1), scalar(), "dloss");
  call.outputs = {call.input(0)};
}

std::string score_dims(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return rule_dims(rank,
                   [&](int i, const std::string& letter) { return i == rank - 1 ? "c!" : letter; });
}
std::string label_dims(const OpCall& call) {
  const int rank = call.input(0).extents.rank();
  return rule_dims(rank,
                   [&](int i, const std::string& letter) { return i == rank - 1 ? "" : letter; });
}

std::string cross_entropy_sums_rule(const OpCall& call) {
  return score_dims(call) + ", " + label_dims(call) + (call.inputs.size() > 2 ? ", c!" : "") +
         " -> 2";
}
std::string cross_entropy_grad_rule(const OpCall& call) {
  return score_dims(call) + ", " + label_dims(call) + ", 2" +
         (call.inputs.size() > 3 ? ", c!" : "") + " -> " + score_dims(call);
}
std::string dice_sums_dims(const OpCall& call) { return is_over_batch(call) ? "1 3 c!" : "n 3 c!"; }
std::string dice_sums_rule(const OpCall& call) {
  return score_dims(call) + ", " + label_dims(call) + " -> " + dice_sums_dims(call);
}
std::string dice_grad_rule(const OpCall& call) {
  return score_dims(call) + ", " + label_dims(call) + ", " + dice_sums_dims(call) + " -> " +
         score_dims(call);
}

/// A softmax and a few operations more an element of logits.
Cost scores_cost(const OpCall& call) {
  Cost cost = streaming_cost(call, 0);
  cost.flops = 25 * static_cast<double>(call.input(0).elements());
  return cost;
}
Cost sums_cost(const OpCall& call) {
  Cost cost = streaming_cost(call, 0);
  cost.flops = 5 * static_cast<double>(call.input(0).elements());
  return cost;
}

void cross_entropy_sums_gradient(GradContext& g) {
  std::vector<ValueId> inputs = {g.input(0), g.input(1), g.grad_output(0)};
  if (g.node().inputs.size() > 2) inputs.push_back(g.input(2));
  g.set_grad_input(0, g.emit("CrossEntropyGrad", std::move(inputs), g.attrs()));
}
void cross_entropy_loss_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("CrossEntropyLossGrad", {g.input(0), g.grad_output(0)}));
}
void dice_sums_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("DiceGrad", {g.input(0), g.input(1), g.grad_output(0)}, g.attrs()));
}
void dice_loss_gradient(GradContext& g) {
  g.set_grad_input(0, g.emit("DiceLossGrad", {g.input(0), g.grad_output(0)}, g.attrs()));
}

void register_cross_entropy(OpRegistry& registry, const OperandSpec& logits,
                            const OperandSpec& labels, const AttrSpec& ignore) {
  const OperandSpec class_weight{"class_weight", "f32 [k], not negative; all 1 if missing",
                                 OperandSpec::Arity::optional};
  const OperandSpec sums{"sums", "f64 [2]: sum of w nll, sum of w"};
  const OperandSpec gsums{"gsums", "f64 [2]: gradient by sums"};
  registry.add({.name = "CrossEntropySums",
                .doc = "Sums of weighted negative log-likelihoods and of weights.",
                .inputs = {logits, labels, class_weight},
                .outputs = {sums},
                .attrs = {ignore},
                .rule_for = cross_entropy_sums_rule,
                .infer = infer_cross_entropy_sums,
                .cost = scores_cost,
                .gradient = cross_entropy_sums_gradient,
                .no_gradient_inputs = {1, 2}});
  registry.add({.name = "CrossEntropyGrad",
                .doc = "Gradient of CrossEntropySums by logits.",
                .inputs = {logits, labels, gsums, class_weight},
                .outputs = {{"dlogits", "like logits"}},
                .attrs = {ignore},
                .rule_for = cross_entropy_grad_rule,
                .infer = infer_cross_entropy_grad,
                .cost = scores_cost,
                .in_place = {{0, 0}}});
  registry.add({.name = "CrossEntropyLoss",
                .doc = "Weighted mean negative log-likelihood; 0 if no voxel counts.",
                .inputs = {sums},
                .outputs = {{"loss", "f32 scalar"}},
                .rule = "2 -> ()",
                .infer = infer_cross_entropy_loss,
                .cost = sums_cost,
                .gradient = cross_entropy_loss_gradient});
  registry.add({.name = "CrossEntropyLossGrad",
                .doc = "Gradient of CrossEntropyLoss by sums.",
                .inputs = {sums, {"dloss", "f32 scalar"}},
                .outputs = {gsums},
                .rule = "2, () -> 2",
                .infer = infer_cross_entropy_loss_grad,
                .cost = sums_cost});
}

void register_dice(OpRegistry& registry, const OperandSpec& logits, const OperandSpec& labels,
                   const AttrSpec& ignore) {
  const OperandSpec sums{"sums",
                         "f64 [n, 3, k], or [1, 3, k] over the batch: sum of p t, of p, of t"};
  const OperandSpec gsums{"gsums", "gradient by sums"};
  const std::vector<AttrSpec> voxel_attrs = {
      {"batch", std::int64_t{1}, "1: one Dice a class over the batch; 0: one a sample"}, ignore};
  const std::vector<AttrSpec> loss_attrs = {
      {"smooth_nr", 1.0, "added to the numerator"},
      {"smooth_dr", 1.0, "added to the denominator"},
      {"include_background", std::int64_t{0}, "0: class 0 does not count"},
  };
  registry.add({.name = "DiceSums",
                .doc = "Overlap and sizes of prediction (softmax) and truth, a class.",
                .inputs = {logits, labels},
                .outputs = {sums},
                .attrs = voxel_attrs,
                .rule_for = dice_sums_rule,
                .infer = infer_dice_sums,
                .cost = scores_cost,
                .gradient = dice_sums_gradient,
                .no_gradient_inputs = {1}});
  registry.add({.name = "DiceGrad",
                .doc = "Gradient of DiceSums by logits.",
                .inputs = {logits, labels, gsums},
                .outputs = {{"dlogits", "like logits"}},
                .attrs = voxel_attrs,
                .rule_for = dice_grad_rule,
                .infer = infer_dice_grad,
                .cost = scores_cost,
                .in_place = {{0, 0}}});
  registry.add({.name = "DiceLoss",
                .doc = "1 - mean soft Dice coefficient.",
                .inputs = {sums},
                .outputs = {{"loss", "f32 scalar"}},
                .attrs = loss_attrs,
                .rule = "n! 3 c! -> ()",
                .infer = infer_dice_loss,
                .cost = sums_cost,
                .gradient = dice_loss_gradient});
  registry.add({.name = "DiceLossGrad",
                .doc = "Gradient of DiceLoss by sums.",
                .inputs = {sums, {"dloss", "f32 scalar"}},
                .outputs = {gsums},
                .attrs = loss_attrs,
                .rule = "n! 3 c!, () -> n! 3 c!",
                .infer = infer_dice_loss_grad,
                .cost = sums_cost});
}

}  // namespace

void register_loss_ops(OpRegistry& registry) {
  const OperandSpec logits{"logits", "f32 [.., k]"};
  const OperandSpec labels{"labels", "u8, i32 or i64 [..], in [0, k) or ignore_index"};
  const AttrSpec ignore{"ignore_index", std::int64_t{-1}, "label of voxels that do not count"};
  register_cross_entropy(registry, logits, labels, ignore);
  register_dice(registry, logits, labels, ignore);
}

}  // namespace hpdlf::graph
