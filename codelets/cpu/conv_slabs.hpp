// A call of oneDNN's convolutions (conv.cc), and the slabs it is cut into where it would take much memory besides its operands.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <vector>

#include "base/window.hpp"
#include "codelets/cpu/blocks.hpp"
#include "codelets/cpu/conv_problem.hpp"
#include "codelets/cpu/conv_tile.hpp"
#include "codelets/cpu/onednn.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets::direct {

enum class Pass : std::uint8_t { forward, transposed, weights };

/// A call of any operator of the family, by role of the operands.
struct Problem {
  Pass pass = Pass::forward;
  ConvTile tile;
  TensorView weight;  // [K, kernel..., C / group], K of narrow, C of wide
  const TensorView* bias =
      nullptr;  // of the output; nullptr: none, or added by another tile of a cut sum
  TensorView output;
  bool accumulate = false;

  [[nodiscard]] const TensorView& input() const {
    return pass == Pass::transposed ? tile.narrow : tile.wide;
  }
};

template <Pass pass>
Problem problem_of(const KernelArgs& args) {
  const auto& out = args.out(0);
  if constexpr (pass == Pass::weights)
    return {pass,           conv_tile(args.in(0), args.in(1), *args.attrs), out, nullptr, out,
            args.accumulate};
  else if constexpr (pass == Pass::transposed)
    return {pass,           conv_tile(out, args.in(0), *args.attrs), args.in(1), bias_of(args), out,
            args.accumulate};
  else
    return {pass,           conv_tile(args.in(0), out, *args.attrs), args.in(1), bias_of(args), out,
            args.accumulate};
}

/// True if a sum must not be left to the primitive: oneDNN's strided deconvolution (brgconv_strided, version 3.2) adds to the wrong
/// partial results where it takes the channels in several blocks, from 160 of them on.
inline bool adds_strided(const Problem& p) {
  const auto strided = [](const ConvAxis& axis) { return axis.stride > 1; };
  return p.pass == Pass::transposed && p.accumulate &&
         std::any_of(p.tile.axes.begin(), p.tile.axes.begin() + p.tile.spatial, strided);
}

inline DType compute_type(const Problem& p) {
  const DType given = p.input().dtype;
  return given == DType::bf16 && !onednn::has_bf16() ? DType::f32 : given;
}

// ---- slabs

/// Of what copies and scratchpads may take: every worker has as much. Slabs of it cost no time.
inline constexpr std::int64_t kMostScratch = std::int64_t{32} << 20;

/// About what a problem takes of it: in bf16 oneDNN turns both operands of a weight gradient around.
inline std::int64_t scratch_of(const Problem& p) {
  if (p.tile.is_empty) return 0;
  const TensorView &wide = p.tile.wide, &narrow = p.tile.narrow;
  const auto bytes = static_cast<std::int64_t>(size_of(compute_type(p)));
  if (p.pass == Pass::weights)
    return wide.dtype == DType::bf16 ? (wide.extents.elements() + narrow.extents.elements()) * bytes
                                     : 0;
  return adds_strided(p) ? wide.extents.elements() / wide.extents[0] * bytes : 0;
}

/// The planes of `narrow` whose windows reach planes of `wide`.
inline TensorView reaching(const TensorView& narrow, const TensorView& wide, const Window& window) {
  Box box = narrow.box();
  const auto [first, end] = window.reaching(wide.origin[1], wide.origin[1] + wide.extents[1]);
  box.lo[1] = std::max(box.lo[1], first);
  box.hi[1] = std::min(box.hi[1], end);
  return narrow.slice(box);
}

/// The call, or slabs of it along the first axis where it would take more scratch memory than it may.
template <Pass pass>
std::vector<Problem> problems_of(const KernelArgs& args) {
  const Problem whole = problem_of<pass>(args);
  const std::int64_t scratch = scratch_of(whole);
  if (scratch <= kMostScratch) return {whole};
  const bool by_weight = pass == Pass::weights;
  const TensorView& cut = by_weight ? args.in(1) : args.out(0);
  const Window window = windows_from(*args.attrs, whole.tile.spatial)[0];
  // Whole strides of dx: for others oneDNN has slower code where the processor has AVX2 only.
  const std::int64_t unit = by_weight ? 1 : window.stride, units = cut.extents[1] / unit;
  const std::int64_t count = std::min(units, blocks_of(scratch, kMostScratch));
  if (count <= 1 || window.stride > window.reach() + 1) return {whole};
  std::vector<Problem> slabs;
  for (std::int64_t i = 0; i < count; ++i) {
    Box box = cut.box();
    const std::int64_t first = box.lo[1];
    box.lo[1] = first + units * i / count * unit;
    if (i + 1 < count) box.hi[1] = first + units * (i + 1) / count * unit;
    const TensorView slab = cut.slice(box);
    slabs.push_back(whole);
    if (by_weight) {
      slabs.back().tile = conv_tile(args.in(0), slab, *args.attrs);
      slabs.back().accumulate |= i > 0;
    } else {
      slabs.back().tile = conv_tile(slab, reaching(args.in(0), slab, window), *args.attrs);
      slabs.back().output = slab;
    }
  }
  return slabs;
}

}  // namespace hpdlf::codelets::direct
