// Losses over class scores [.., k] and integer labels [..] on the CPU, lanes() voxels at a time. Formulas: graph/ops/loss.cc.
//
// Sums are f64 and taken in a fixed order. Labels are checked as they are read; the search for the culprit runs only if there is one.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/loss.cc"
#include <algorithm>
#include <vector>

#include "codelets/cpu/labels.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/softmax-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

using MF32 = hn::Mask<F32>;

/// n <= lanes() labels `stride` apart; the lanes beyond hold `fill`.
template <class T>
VI32 read_labels(const T* p, std::int64_t stride, std::int64_t n, std::int32_t fill) {
  if constexpr (sizeof(T) <= sizeof(std::int32_t)) {
    if (stride == 1 && n == lanes()) {
      const auto v = hn::LoadU(hn::Rebind<T, F32>(), p);
      if constexpr (sizeof(T) < sizeof(std::int32_t))
        return hn::PromoteTo(I32(), v);
      else
        return v;
    }
  }
  HWY_ALIGN std::int32_t buffer[kMaxLanes];
  for (std::int64_t l = 0; l < lanes(); ++l)
    buffer[l] = l < n ? saturated_label(p[l * stride]) : fill;
  return hn::Load(I32(), buffer);
}

VI32 read_labels(const TensorView& labels, std::int64_t offset, std::int64_t stride, std::int64_t n,
                 std::int32_t fill) {
  if (labels.dtype == DType::u8)
    return read_labels(labels.as<std::uint8_t>() + offset, stride, n, fill);
  if (labels.dtype == DType::i32)
    return read_labels(labels.as<std::int32_t>() + offset, stride, n, fill);
  return read_labels(labels.as<std::int64_t>() + offset, stride, n, fill);
}

/// lanes() voxels: where their scores are, where results go (x itself if there are none), and their classes.
struct Block {
  Lanes from, to;
  const float* x;
  float* y;
  MF32 counts;  ///< voxels that are there and not ignored
  VI32 label;   ///< in [0, k); 0 where not `counts`

  [[nodiscard]] HWY_INLINE MF32 is_of(std::int64_t c) const {
    return hn::And(
        counts, hn::RebindMask(F32(), hn::Eq(label, hn::Set(I32(), static_cast<std::int32_t>(c)))));
  }
  /// table[c * step + lane * lane_step] at each voxel's own class c.
  [[nodiscard]] HWY_INLINE VF32 at_label(const float* table, std::int64_t step,
                                         std::int64_t lane_step) const {
    const I32 d;
    const auto lane = hn::Mul(hn::Iota(d, 0), hn::Set(d, static_cast<std::int32_t>(lane_step)));
    return hn::GatherIndex(
        F32(), table, hn::Add(hn::Mul(label, hn::Set(d, static_cast<std::int32_t>(step))), lane));
  }
};

/// Scores, labels and (for gradients) results of one tensor walked together.
struct Voxels {
  TensorView logits, labels, results;
  std::int64_t k, ignore_index;

  Voxels(const TensorView& scores, const TensorView& classes, const TensorView& out,
         const Attrs& attrs)
      : logits(scores),
        labels(classes),
        results(out),
        k(scores.extents.back()),
        ignore_index(attrs.integer("ignore_index")) {
    HPDLF_ASSERT(k == 1 || (logits.strides.back() == 1 && results.strides.back() == 1),
                 "scores of a voxel must lie densely");
  }
  /// Sample `n` only.
  [[nodiscard]] Voxels sample(std::int64_t n) const {
    Voxels one = *this;
    for (TensorView* view : {&one.logits, &one.labels, &one.results}) {
      Box box = view->box();
      box.lo[0] += n;
      box.hi[0] = box.lo[0] + 1;
      *view = view->slice(box);
    }
    return one;
  }
  /// body(block) for all voxels. @throws Error for a label that is no class.
  template <class Body>
  void for_each_block(const Body& body) const {
    const TensorView x0 = at_index(logits, logits.rank() - 1, 0),
                     y0 = at_index(results, results.rank() - 1, 0);
    const Rows rows({&x0, &labels, &y0});
    const std::int64_t x_step = rows.stride(0), label_step = rows.stride(1),
                       y_step = rows.stride(2);
    rows.for_each([&](const std::int64_t* at) {
      HWY_NAMESPACE::for_each_block(
          rows.length(), x_step, [&](const Lanes& from, std::int64_t i) HWY_ATTR {
            const I32 d;
            const auto given =
                read_labels(labels, at[1] + i * label_step, label_step, from.count(), kOutside);
            const auto is_class = hn::And(hn::Gt(given, hn::Set(d, -1)),
                                          hn::Lt(given, hn::Set(d, static_cast<std::int32_t>(k))));
            const auto is_ignored = hn::Eq(given, hn::Set(d, saturated_label(ignore_index)));
            const auto is_outside = hn::Not(hn::FirstN(d, static_cast<std::size_t>(from.count())));
            if (!hn::AllTrue(d, hn::Or(is_class, hn::Or(is_ignored, is_outside))))
              throw_bad_label(labels, k, ignore_index);
            const auto counts = hn::AndNot(hn::Or(is_ignored, is_outside), is_class);
            body(Block{from, Lanes(y_step, from.count()), logits.as<float>() + at[0] + i * x_step,
                       results.as<float>() + at[2] + i * y_step, hn::RebindMask(F32(), counts),
                       hn::IfThenElseZero(counts, given)});
          });
    });
  }

 private:
  static constexpr std::int32_t kOutside = -1;
};

/// The optional class weights as a dense table.
std::vector<float> class_weights(std::int64_t k, const TensorView* given) {
  std::vector<float> weights(static_cast<std::size_t>(k), 1.0F);
  for (std::int64_t c = 0; given != nullptr && c < k; ++c)
    weights[static_cast<std::size_t>(c)] = given->as<float>()[c * given->strides[0]];
  return weights;
}

void CrossEntropySums(const KernelArgs& args) {
  const TensorView &logits = args.in(0), &sums = args.out(0);
  const Voxels voxels(logits, args.in(1), logits, *args.attrs);
  const auto weights = class_weights(voxels.k, args.inputs.size() > 2 ? &args.in(2) : nullptr);
  auto* scratch = reinterpret_cast<float*>(args.workspace.data());
  Sum64 losses, total;
  voxels.for_each_block([&](const Block& block) HWY_ATTR {
    const auto most = load_block(block.from, block.x, 1, voxels.k, scratch);
    const auto score = block.at_label(scratch, lanes(), 1);
    const auto nll =
        hn::Sub(log(exponentiate_block(most, voxels.k, scratch)), hn::Sub(score, most));
    const Wide w(hn::IfThenElseZero(block.counts, block.at_label(weights.data(), 1, 0)));
    losses.add_product(w, Wide(hn::IfThenElseZero(block.counts, nll)));
    total.add(w);
  });
  sums.as<double>()[0] = losses.total();
  sums.as<double>()[sums.strides[0]] = total.total();
}

void CrossEntropyGrad(const KernelArgs& args) {
  const Voxels voxels(args.in(0), args.in(1), args.out(0), *args.attrs);
  const auto weights = class_weights(voxels.k, args.inputs.size() > 3 ? &args.in(3) : nullptr);
  auto* scratch = reinterpret_cast<float*>(args.workspace.data());
  const auto outer = number(args.in(2).as<double>()[0]);  // the weight sum depends on labels only
  voxels.for_each_block([&](const Block& block) HWY_ATTR {
    const auto most = load_block(block.from, block.x, 1, voxels.k, scratch);
    const auto inverse_sum = hn::Div(number(1), exponentiate_block(most, voxels.k, scratch));
    const auto weight =
        hn::IfThenElseZero(block.counts, hn::Mul(outer, block.at_label(weights.data(), 1, 0)));
    for (std::int64_t c = 0; c < voxels.k; ++c) {
      const auto p = hn::Mul(hn::Load(F32(), scratch + c * lanes()), inverse_sum);
      const auto error = hn::Sub(p, hn::IfThenElseZero(block.is_of(c), number(1)));
      block.to.store(hn::IfThenElseZero(block.counts, hn::Mul(weight, error)), block.y + c);
    }
  });
}

/// sums[0..2][c] += (p t, p, t) over the voxels; `sums` has room for 3 * k * lanes() and holds lanes' own sums.
void add_dice_sums(const Voxels& voxels, float* scratch, double* sums) {
  const std::int64_t k = voxels.k, step = lanes();
  voxels.for_each_block([&](const Block& block) HWY_ATTR {
    const auto most = load_block(block.from, block.x, 1, k, scratch);
    const auto inverse_sum = hn::Div(number(1), exponentiate_block(most, k, scratch));
    for (std::int64_t c = 0; c < k; ++c) {
      const auto p = hn::IfThenElseZero(block.counts,
                                        hn::Mul(hn::Load(F32(), scratch + c * step), inverse_sum));
      const auto is_of = block.is_of(c);
      Sum64 both, predicted, truth;
      both.add(Wide(hn::IfThenElseZero(is_of, p)));
      predicted.add(Wide(p));
      truth.add(Wide(hn::IfThenElseZero(is_of, number(1))));
      both.add_to(sums + c * step);
      predicted.add_to(sums + (k + c) * step);
      truth.add_to(sums + (2 * k + c) * step);
    }
  });
}

void DiceSums(const KernelArgs& args) {
  const TensorView &logits = args.in(0), &out = args.out(0);
  const Voxels voxels(logits, args.in(1), logits, *args.attrs);
  auto* scratch = reinterpret_cast<float*>(args.workspace.data());
  const std::int64_t rows = 3 * voxels.k;
  for (std::int64_t g = 0; g < out.extents[0]; ++g) {
    std::vector<double> sums(static_cast<std::size_t>(rows * lanes() + 1));
    add_dice_sums(out.extents[0] == 1 ? voxels : voxels.sample(g), scratch, sums.data());
    for (std::int64_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (std::int64_t l = 0; l < lanes(); ++l)
        sum += sums[static_cast<std::size_t>(row * lanes() + l)];
      out.as<double>()[g * out.strides[0] + row / voxels.k * out.strides[1] +
                       row % voxels.k * out.strides[2]] = sum;
    }
  }
}

/// dlogits of voxels whose gradients by (p t, p) are `both` and `predicted`, one a class:
/// dp[c] = predicted[c] + t[c] both[c], dlogits[c] = p[c] (dp[c] - sum_j p[j] dp[j])
void dice_gradient(const Voxels& voxels, const std::vector<float>& both,
                   const std::vector<float>& predicted, float* scratch) {
  const std::int64_t k = voxels.k, step = lanes();
  voxels.for_each_block([&](const Block& block) HWY_ATTR {
    const auto most = load_block(block.from, block.x, 1, k, scratch);
    const auto inverse_sum = hn::Div(number(1), exponentiate_block(most, k, scratch));
    const auto dp = [&](std::int64_t c) HWY_ATTR {
      const auto of_class =
          hn::IfThenElseZero(block.is_of(c), hn::Set(F32(), both[static_cast<std::size_t>(c)]));
      return hn::Add(hn::Set(F32(), predicted[static_cast<std::size_t>(c)]), of_class);
    };
    auto dot = hn::Zero(F32());
    for (std::int64_t c = 0; c < k; ++c) {
      const auto p = hn::Mul(hn::Load(F32(), scratch + c * step), inverse_sum);
      hn::Store(p, F32(), scratch + c * step);
      dot = hn::MulAdd(p, dp(c), dot);
    }
    for (std::int64_t c = 0; c < k; ++c) {
      const auto dx = hn::Mul(hn::Load(F32(), scratch + c * step), hn::Sub(dp(c), dot));
      block.to.store(hn::IfThenElseZero(block.counts, dx), block.y + c);
    }
  });
}

void DiceGrad(const KernelArgs& args) {
  const TensorView& gsums = args.in(2);
  const Voxels voxels(args.in(0), args.in(1), args.out(0), *args.attrs);
  auto* scratch = reinterpret_cast<float*>(args.workspace.data());
  for (std::int64_t g = 0; g < gsums.extents[0]; ++g) {
    std::vector<float> tables[2];
    for (int which = 0; which < 2; ++which)
      for (std::int64_t c = 0; c < voxels.k; ++c)
        tables[which].push_back(
            static_cast<float>(gsums.as<double>()[g * gsums.strides[0] + which * gsums.strides[1] +
                                                  c * gsums.strides[2]]));
    dice_gradient(gsums.extents[0] == 1 ? voxels : voxels.sample(g), tables[0], tables[1], scratch);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
namespace {

HWY_EXPORT(CrossEntropySums);
HWY_EXPORT(CrossEntropyGrad);
HWY_EXPORT(DiceSums);
HWY_EXPORT(DiceGrad);

// The rest computes a few numbers from sums.

void cross_entropy_loss(const KernelArgs& args) {
  const TensorView& sums = args.in(0);
  const double loss = sums.as<double>()[0], weight = sums.as<double>()[sums.strides[0]];
  *args.out(0).as<float>() = weight == 0 ? 0.0F : static_cast<float>(loss / weight);
}

void cross_entropy_loss_grad(const KernelArgs& args) {
  const TensorView &sums = args.in(0), &gsums = args.out(0);
  const double loss = sums.as<double>()[0], weight = sums.as<double>()[sums.strides[0]];
  const double outer = *args.in(1).as<float>();
  gsums.as<double>()[0] = weight == 0 ? 0 : outer / weight;
  gsums.as<double>()[gsums.strides[0]] = weight == 0 ? 0 : -outer * loss / (weight * weight);
}

/// body(numerator, denominator, at) for every sample and class that the Dice loss counts; `at(view, which)` is element `which` of it.
template <class Body>
void for_each_dice(const KernelArgs& args, const Body& body) {
  const TensorView& sums = args.in(0);
  const double smooth_numerator = args.attrs->real("smooth_nr"),
               smooth_denominator = args.attrs->real("smooth_dr");
  for (std::int64_t n = 0; n < sums.extents[0]; ++n)
    for (std::int64_t c = args.attrs->integer("include_background") != 0 ? 0 : 1;
         c < sums.extents[2]; ++c) {
      const auto at = [n, c](const TensorView& v, int which) -> double& {
        return v.as<double>()[n * v.strides[0] + which * v.strides[1] + c * v.strides[2]];
      };
      body(2 * at(sums, 0) + smooth_numerator, at(sums, 1) + at(sums, 2) + smooth_denominator, at);
    }
}

double dice_terms(const KernelArgs& args) {
  const Extents& sums = args.in(0).extents;
  return static_cast<double>(sums[0] *
                             (sums[2] - (args.attrs->integer("include_background") != 0 ? 0 : 1)));
}

void dice_loss(const KernelArgs& args) {
  double sum = 0;
  for_each_dice(args, [&](double numerator, double denominator, const auto&) {
    sum += numerator / denominator;
  });
  *args.out(0).as<float>() = static_cast<float>(1 - sum / dice_terms(args));
}

void dice_loss_grad(const KernelArgs& args) {
  const TensorView& gsums = args.out(0);
  const double outer = -*args.in(1).as<float>() / dice_terms(args);
  for (std::int64_t n = 0; n < gsums.extents[0]; ++n)  // the background, if it does not count
    for (int which = 0; which < 3; ++which)
      gsums.as<double>()[n * gsums.strides[0] + which * gsums.strides[1]] = 0;
  for_each_dice(args, [&](double numerator, double denominator, const auto& at) {
    at(gsums, 0) = outer * 2 / denominator;
    at(gsums, 1) = at(gsums, 2) = -outer * numerator / (denominator * denominator);
  });
}

std::size_t scratch_bytes(const KernelArgs& args) {
  return softmax_scratch_bytes(args.in(0).extents.back());
}

}  // namespace

void register_loss_cpu(KernelRegistry& registry) {
  const auto add = [&](const char* op, void (*run)(const KernelArgs&)) {
    registry.add({.op = op, .variant = "simd", .run = run, .workspace = scratch_bytes});
  };
  add("CrossEntropySums", HPDLF_SIMD_KERNEL(CrossEntropySums));
  add("CrossEntropyGrad", HPDLF_SIMD_KERNEL(CrossEntropyGrad));
  add("DiceSums", HPDLF_SIMD_KERNEL(DiceSums));
  add("DiceGrad", HPDLF_SIMD_KERNEL(DiceGrad));
  registry.add({.op = "CrossEntropyLoss", .variant = "plain", .run = cross_entropy_loss});
  registry.add({.op = "CrossEntropyLossGrad", .variant = "plain", .run = cross_entropy_loss_grad});
  registry.add({.op = "DiceLoss", .variant = "plain", .run = dice_loss});
  registry.add({.op = "DiceLossGrad", .variant = "plain", .run = dice_loss_grad});
}

}  // namespace hpdlf::codelets
#endif
