// Weights of Winograd convolutions, transformed by matrices in double precision: what the cases of winograd_cases.cc are checked against.
#pragma once
#include <array>
#include <cmath>
#include <vector>

#include "tests/ops/op_case.hpp"

namespace hpdlf::test {

inline constexpr std::int64_t kPoints = 6, kTaps = 3, kLine = 16;

/// G of finite points and inf, which comes last: row (1, p, p^2) / product over the other points q of (p - q).
using Matrix = std::vector<std::array<double, kTaps>>;
inline Matrix make_g_matrix(const std::vector<double>& points) {
  Matrix g;
  for (const double p : points) {
    double norm = 1;
    for (const double q : points)
      if (q != p) norm *= p - q;
    g.push_back({1 / norm, p / norm, p * p / norm});
  }
  g.push_back({0, 0, 1});
  return g;
}

/// Of F(4, 3).
inline const Matrix& g_matrix() {
  static const Matrix g =
      make_g_matrix({0, std::sqrt(0.5), -std::sqrt(0.5), std::sqrt(2.0), -std::sqrt(2.0)});
  return g;
}
inline double g_matrix(std::int64_t i, std::int64_t j) {
  return g_matrix()[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
}

/// Along D, in the order of the kernels' passes: inf comes second.
inline double depth_matrix(std::int64_t tile_depth, std::int64_t i, std::int64_t j) {
  static const Matrix of_two = make_g_matrix({0, 1, -1});
  const Matrix& g = tile_depth == 2 ? of_two : g_matrix();
  const std::size_t point = i == 0 ? 0 : i == 1 ? g.size() - 1 : static_cast<std::size_t>(i) - 1;
  return g[point][static_cast<std::size_t>(j)];
}

/// 1-based on the four dimensions [K, D, 3, 3, C] that a 2-D weight has too (D = 1).
struct Weights {
  std::int64_t k, d, c;
  std::vector<double> data;
  [[nodiscard]] double at(std::int64_t ki, std::int64_t r, std::int64_t s, std::int64_t t,
                          std::int64_t ci) const {
    return data[static_cast<std::size_t>((((ki * d + r) * kTaps + s) * kTaps + t) * c + ci)];
  }
};

/// Products of a tile: of H and W, or of D too.
inline std::int64_t points(std::int64_t tile_depth) {
  return kPoints * kPoints * (tile_depth == 1 ? 1 : tile_depth + kTaps - 1);
}

/// Element (output, point, direct tap along D, input) of transformed weights.
inline double transformed(const Weights& w, bool transposed, std::int64_t tile_depth,
                          std::int64_t output, std::int64_t point, std::int64_t tap,
                          std::int64_t input) {
  const auto weight = [&](std::int64_t r, std::int64_t s, std::int64_t t) {
    return transposed ? w.at(input, w.d - 1 - r, kTaps - 1 - s, kTaps - 1 - t, output)
                      : w.at(output, r, s, t, input);
  };
  const auto plane = [&](std::int64_t r) {
    double sum = 0;
    for (std::int64_t s = 0; s < kTaps; ++s)
      for (std::int64_t t = 0; t < kTaps; ++t)
        sum +=
            g_matrix(point / kPoints % kPoints, s) * weight(r, s, t) * g_matrix(point % kPoints, t);
    return sum;
  };
  if (tile_depth == 1) return plane(tap);
  double sum = 0;
  for (std::int64_t r = 0; r < kTaps; ++r)
    sum += depth_matrix(tile_depth, point / (kPoints * kPoints), r) * plane(r);
  return sum;
}

/// With a stride of 2 in H and W, whose phases have taps (0, 2) and 1 of a kernel along an axis. Seen as three taps the first of which is 0 they
/// are transformed as others are; the products at 0 vanish and are left out, those at inf of odd phases too.
inline constexpr std::int64_t kPhases = 4, kPhasePoints = kPoints - 1;

/// Element (output, phase, point, tap along D, input).
inline double transformed_phase(const Weights& w, std::int64_t output, std::int64_t phase,
                                std::int64_t point, std::int64_t r, std::int64_t input) {
  const auto g = [](std::int64_t is_odd, std::int64_t p, std::int64_t tap) {
    return tap % 2 == is_odd ? g_matrix(p + 1, is_odd != 0 ? 1 : 1 + tap / 2) : 0;
  };
  double sum = 0;
  for (std::int64_t s = 0; s < kTaps; ++s)
    for (std::int64_t t = 0; t < kTaps; ++t) {
      const double weight = w.at(input, w.d - 1 - r, kTaps - 1 - s, kTaps - 1 - t, output);
      sum += g(phase / 2, point / kPhasePoints, s) * weight * g(phase % 2, point % kPhasePoints, t);
    }
  return sum;
}

inline Extents transformed_phases_extents(std::int64_t taps, std::int64_t outputs,
                                          std::int64_t inputs) {
  return {(outputs + kLine - 1) / kLine,
          kPhases * kPhasePoints * kPhasePoints * (taps * inputs + 1) * kLine};
}

/// For the gradient by x: the outputs are its C channels, the inputs the K of dy.
inline void transform_phases(const Weights& w, RefTensor& u) {
  std::int64_t at = 0;
  for (std::int64_t line = 0; line < u.dim(0); ++line)
    for (std::int64_t phase = 0; phase < kPhases; ++phase)
      for (std::int64_t p = 0; p < kPhasePoints * kPhasePoints; ++p) {
        for (std::int64_t r = 0; r < w.d; ++r)
          for (std::int64_t i = 0; i < w.k; ++i)
            for (std::int64_t o = line * kLine; o < (line + 1) * kLine; ++o)
              u[at++] = o < w.c ? transformed_phase(w, o, phase, p, r, i) : 0;
        for (std::int64_t o = 0; o < kLine; ++o) u[at++] = 0;
      }
}

/// Extents of the tensor u of WinogradWeights.
inline Extents transformed_extents(std::int64_t tile_depth, std::int64_t taps, std::int64_t outputs,
                                   std::int64_t inputs) {
  const std::int64_t direct = tile_depth == 1 ? taps : 1;
  return {(outputs + kLine - 1) / kLine, points(tile_depth) * (direct * inputs + 1) * kLine};
}

/// Its elements.
inline void transform(const Weights& w, bool transposed, std::int64_t tile_depth, RefTensor& u) {
  const std::int64_t outputs = transposed ? w.c : w.k, inputs = transposed ? w.k : w.c;
  std::int64_t at = 0;
  for (std::int64_t line = 0; line < u.dim(0); ++line)
    for (std::int64_t p = 0; p < points(tile_depth); ++p) {
      for (std::int64_t tap = 0; tap < (tile_depth == 1 ? w.d : 1); ++tap)
        for (std::int64_t i = 0; i < inputs; ++i)
          for (std::int64_t o = line * kLine; o < (line + 1) * kLine; ++o)
            u[at++] = o < outputs ? transformed(w, transposed, tile_depth, o, p, tap, i) : 0;
      for (std::int64_t o = 0; o < kLine; ++o) u[at++] = 0;  // keeps points apart
    }
}

/// What WinogradWeights makes of a kernel, as its attributes say.
struct WeightTransform {
  bool transposed = false;
  std::int64_t tile_depth = 1, stride = 1;

  /// Of u, from weights [k, d, 3, 3, c].
  [[nodiscard]] Extents extents(std::int64_t k, std::int64_t d, std::int64_t c) const {
    const std::int64_t outputs = transposed ? c : k, inputs = transposed ? k : c;
    return stride == 2 ? transformed_phases_extents(d, outputs, inputs)
                       : transformed_extents(tile_depth, d, outputs, inputs);
  }
  void run(const Weights& w, RefTensor& u) const {
    if (stride == 2)
      transform_phases(w, u);
    else
      transform(w, transposed, tile_depth, u);
  }
};

}  // namespace hpdlf::test
