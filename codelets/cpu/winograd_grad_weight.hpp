// How the work of a Winograd convolution's weight gradient is blocked. Algorithm: winograd_grad_weight.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>

#include "codelets/cpu/winograd.hpp"

namespace hpdlf::codelets::winograd {

/// Of WinogradConvGradWeight (x, dy) and NormalizedWinogradConvGradWeight (x, coefficients, dy).
[[nodiscard]] inline Problem grad_weight_problem(const KernelArgs& args) {
  Problem p(args.in(0), args.inputs.back(), *args.attrs);
  if (args.attrs->has("activation")) p.normalization = Normalization(args.in(1), *args.attrs);
  return p;
}

/// Bounds of a weight gradient's blocks: pairs of lines of channels whose sums are formed together, and tiles. The sums pass by once a block
/// of tiles, and outgrow L2 soon; of fewer pairs x and dy are transformed more often. Measured: with an L2 of 2 MiB and several blocks, 64
/// pairs take up to a fifth less time than 16.
struct GradWeightBounds {
  std::int64_t pairs = 16, tiles = 128;

  explicit GradWeightBounds(const Problem& p) {
    constexpr std::int64_t kLargeL2 = std::int64_t{2} << 20;
    if (l2_bytes() < kLargeL2) return;
    tiles = 64;
    if (p.tiles() > tiles) pairs = 64;
  }
};

/// body(channels of the gradient by the weights that are formed together, the first c, the first k).
template <class Body>
void for_each_channel_block(const Problem& p, const Body& body) {
  const GradWeightBounds most(p);
  std::int64_t c_lines = p.c_lines(), k_lines = p.k_lines();
  while (c_lines * k_lines > most.pairs)
    if (c_lines >= k_lines)
      c_lines = even(p.c_lines(), c_lines - 1);
    else
      k_lines = even(p.k_lines(), k_lines - 1);
  const std::int64_t c_step = c_lines * kLine, k_step = k_lines * kLine;
  for (std::int64_t c = 0; c < p.c; c += c_step)
    for (std::int64_t k = 0; k < p.k; k += k_step)
      body(p.channels(c, std::min(c_step, p.c - c), k, std::min(k_step, p.k - k)), c, k);
}

/// Of such channels. A block reads and writes all sums, which may outgrow L2, and so do its transforms unless they fit there. It has as many
/// tiles as fit, or so many that their transforms are three times the sums: whichever moves fewer bytes a tile. A quarter of L2 for what
/// fits is measured, as are the bounds.
[[nodiscard]] inline Blocking grad_weight_blocking(const Problem& p) {
  constexpr std::int64_t kLeastTiles = 24, kTransformsToSums = 3;
  const std::int64_t pairs = p.c_lines() * p.k_lines();
  const std::int64_t sums = p.points.in_pass() * p.taps() * pairs * kLine * kLine;  // of a pass
  const std::int64_t of_tile = p.points.tile_floats() * (p.c_lines() + p.k_lines());
  const std::int64_t many =
      std::clamp(kTransformsToSums * sums / of_tile, kFewTiles, GradWeightBounds(p).tiles);
  const std::int64_t kept = of_tile + p.points.tile_floats() * p.c_lines() * (p.taps() - 1);
  const std::int64_t fitting = l2_bytes() / 4 / (kept * static_cast<std::int64_t>(sizeof(float)));
  const bool fits = fitting >= kLeastTiles && sums / fitting <= kept + sums / many;
  return {p, kCachedBytes, fits ? std::min(fitting, many) : many, TransformOrder::by_point};
}

/// Floats of the sums of a weight gradient, [point][direct tap along D][k][c]: one tap, one point (a line apart, as those of weights).
/// A block that is the whole sample finishes a line of k before the next, so that its sums stay in L2; with passes only if the transforms of
/// x, which every line reads again, stay there too.
[[nodiscard]] inline bool has_line_sums(const Problem& p, const Blocking& b) {
  return b.is_whole && (!p.points.has_pairs() ||
                        b.x.floats * static_cast<std::int64_t>(sizeof(float)) <= l2_bytes() / 2);
}
[[nodiscard]] inline std::int64_t sums_of_tap(const Problem& p, const Blocking& b) {
  return (has_line_sums(p, b) ? 1 : p.k_lines()) * kLine * p.c_lines() * kLine;
}
[[nodiscard]] inline std::int64_t sums_of_point(const Problem& p, const Blocking& b) {
  return p.taps() * sums_of_tap(p, b) + kLine;
}

}  // namespace hpdlf::codelets::winograd
