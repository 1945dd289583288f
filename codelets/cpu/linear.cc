// Linear and its gradients: sums of products over one of three groups of dimensions, by oneDNN. Formulas: graph/ops/linear.cc.
// Each group is one dimension of a matrix as far as its strides allow it; what is left of it is looped over.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "codelets/cpu/matrix_product.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {
namespace {

/// Dimensions [first, last) of a view.
TensorView part_of(const TensorView& view, int first, int last) {
  TensorView part = view;
  part.extents = part.strides = part.origin = part.whole = {};
  for (int i = first; i < last; ++i) {
    part.extents.push_back(view.extents[i]);
    part.strides.push_back(view.strides[i]);
    part.origin.push_back(view.origin[i]);
    part.whole.push_back(view.whole[i]);
  }
  return part;
}

/// The first `count` dimensions of a view and the others.
struct Halves {
  TensorView first, second;
  Halves(const TensorView& view, int count)
      : first(part_of(view, 0, count)), second(part_of(view, count, view.rank())) {}
};

/// Element `i` of the memory of a view.
std::byte* at(const TensorView& view, std::int64_t i) {
  return static_cast<std::byte*>(view.data) + i * static_cast<std::int64_t>(size_of(view.dtype));
}

/// y[R, C] = sum_S a[R, S] b[S, C] (+ bias[C]) over groups R, S, C of dimensions.
class Contraction {
 public:
  /// @param a (R, S). @param b (S, C). @param y (R, C). @param bias nullptr: none.
  Contraction(const Halves& a, const Halves& b, const Halves& y, const TensorView* bias,
              bool accumulate)
      : rows_({&a.first, &y.first}),
        terms_({&a.second, &b.first}),
        columns_(columns(b.second, y.second, bias)),
        factors_(a.first.dtype),
        result_(y.first.dtype),
        accumulate_(accumulate),
        has_bias_(bias != nullptr) {
    HPDLF_ASSERT(columns_.stride(1) == 1 || columns_.length() == 1,
                 "the columns of a product lie {} elements apart", columns_.stride(1));
  }

  [[nodiscard]] std::size_t scratch_bytes() const {
    const std::int64_t first = product(true).scratch_bytes();
    return static_cast<std::size_t>(
        terms_.count() > 1 ? std::max(first, product(false).scratch_bytes()) : first);
  }

  /// @param a, b, y the operands whose groups were given. @param bias nullptr: none
  void run(const TensorView& a, const TensorView& b, const TensorView& y, const float* bias,
           std::byte* scratch) const {
    const MatrixProduct first = product(true);
    const MatrixProduct later = terms_.count() > 1 ? product(false) : first;
    rows_.for_each([&](const std::int64_t* row) {
      columns_.for_each([&](const std::int64_t* column) {
        bool is_first = true;
        terms_.for_each([&](const std::int64_t* term) {
          (is_first ? first : later)(at(a, row[0] + term[0]), at(b, term[1] + column[0]),
                                     at(y, row[1] + column[1]), scratch,
                                     has_bias_ ? bias + column[2] : nullptr);
          is_first = false;
        });
      });
    });
  }

 private:
  static Rows columns(const TensorView& b, const TensorView& y, const TensorView* bias) {
    return bias != nullptr ? Rows({&b, &y, bias}) : Rows({&b, &y});
  }
  [[nodiscard]] MatrixProduct product(bool first) const {
    return MatrixProduct({.m = rows_.length(),
                          .n = columns_.length(),
                          .k = terms_.length(),
                          .a = {rows_.stride(0), terms_.stride(0)},
                          .b = {terms_.stride(1), columns_.stride(0)},
                          .y_row = rows_.stride(1),
                          .sum = accumulate_ || !first,
                          .bias = has_bias_ && first,
                          .factors = factors_,
                          .result = result_});
  }

  Rows rows_, terms_, columns_;
  DType factors_, result_;
  bool accumulate_, has_bias_;
};

int contracted(const KernelArgs& args) {
  return static_cast<int>(args.attrs->integer("contracted"));
}

/// With the two halves exchanged.
Halves swapped(Halves halves) {
  std::swap(halves.first, halves.second);
  return halves;
}

/// The bias, once: where the first of the summed terms is.
const TensorView* bias_of(const KernelArgs& args) {
  const TensorView& x = args.in(0);
  const bool is_first = x.origin[x.rank() - contracted(args)] == 0;
  return args.inputs.size() > 2 && is_first ? &args.in(2) : nullptr;
}

Contraction linear(const KernelArgs& args) {
  const int in = contracted(args);
  const int leading = args.in(0).rank() - in, out = args.in(1).rank() - in;
  return {Halves(args.in(0), leading), swapped(Halves(args.in(1), out)),
          Halves(args.out(0), leading), bias_of(args), args.accumulate};
}

Contraction grad_input(const KernelArgs& args) {
  const int out = args.in(1).rank() - contracted(args), leading = args.in(0).rank() - out;
  return {Halves(args.in(0), leading), Halves(args.in(1), out), Halves(args.out(0), leading),
          nullptr, args.accumulate};
}

Contraction grad_weight(const KernelArgs& args) {
  const int leading = args.in(1).rank() - contracted(args);
  return {swapped(Halves(args.in(0), leading)), Halves(args.in(1), leading),
          Halves(args.out(0), args.in(0).rank() - leading), nullptr, args.accumulate};
}

template <Contraction (*contraction)(const KernelArgs&)>
void run_contraction(const KernelArgs& args) {
  const float* bias =
      contraction == linear && bias_of(args) != nullptr ? args.in(2).as<float>() : nullptr;
  contraction(args).run(args.in(0), args.in(1), args.out(0), bias, args.workspace.data());
}

template <Contraction (*contraction)(const KernelArgs&)>
std::size_t contraction_workspace(const KernelArgs& args) {
  return contraction(args).scratch_bytes();
}

template <Contraction (*contraction)(const KernelArgs&)>
void add(KernelRegistry& registry, const char* op) {
  registry.add({.op = op,
                .variant = "onednn",
                .run = run_contraction<contraction>,
                .workspace = contraction_workspace<contraction>});
}

}  // namespace

void register_linear_cpu(KernelRegistry& registry) {
  add<linear>(registry, "Linear");
  add<grad_input>(registry, "LinearGradInput");
  add<grad_weight>(registry, "LinearGradWeight");
}

}  // namespace hpdlf::codelets
