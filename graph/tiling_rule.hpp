// The tiling rule of an operator: how it may be cut into tiles, in one line of text, after Shardy and einsum.
//
//   "n d~ h~ w~ c, k r! s! t! c -> n d h w k"
//
// Operands are separated by commas, inputs before and outputs after "->". A token a dimension:
//   x      factor x of the iteration space; one missing from an output is summed there (tiles give partial sums)
//   x!     factor x may not be cut
//   x~     the dimension slides along x: input index = x * stride - pad + tap * dilation       (Conv, pooling)
//   x^     it slides transposed: the inputs that reach output index x, x = i * stride - pad + tap * dilation   (ConvTranspose, dx of Conv)
//   x~3    a margin: input indices x - 3 .. x + 3, whatever the attributes say
//   x*16   16 indices for each of x, the last ones fewer: what can only be cut into blocks
//   7      a dimension of that fixed extent, never cut (1: broadcast)
//   ...    the leading dimensions, named as those of the first operand with "..." usually are: n d h w c / n h w c / n t c / n c / c;
//          a name that the rule uses itself is capitalised
//   ()     a scalar operand
// Window geometry of the i-th sliding factor comes from the attributes kernel_shape, strides, dilations, pads (ONNX layout: all
// begins, then all ends). The planner, the lowering, the memory model and the tiled-equals-whole tests know operators only through this.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/shape.hpp"

namespace hpdlf::graph {

struct OpCall;

/// One dimension of the iteration space of an operator call.
struct Factor {
  char letter = '?';
  std::int64_t extent = 1;
  enum class Kind : std::uint8_t {
    parallel,
    summed,
    whole
  } kind = Kind::parallel;  ///< summed: missing from some output
};

/// How one operand dimension follows a factor.
struct DimMap {
  enum class Kind : std::uint8_t { fixed, plain, window, transposed_window } kind = Kind::plain;
  int factor = -1;  ///< index into TilingRule::factors; -1 for kind fixed
  std::int64_t kernel = 1, stride = 1, dilation = 1,
               pad = 0;  ///< kind (transposed_)window; pad at the low end
};
using OperandMap = std::vector<DimMap>;  // one entry a dimension

struct TilingRule {
  std::vector<Factor> factors;
  std::vector<OperandMap> inputs, outputs;

  /// Index of the factor with this letter, or -1.
  [[nodiscard]] int find(char letter) const;
  /// True if `factor` does not appear in `operand`.
  [[nodiscard]] static bool is_missing(const OperandMap& operand, int factor);
  /// The iteration space as a box over the factors.
  [[nodiscard]] Box iteration_space() const;
  /// Region of an operand (of extents `whole`) that the iteration-space region `tile` touches, clipped to the tensor.
  [[nodiscard]] static Box operand_box(const OperandMap& operand, const Box& tile,
                                       const Extents& whole);
};

/// Parses an operator's rule and binds it to the extents and window attributes of a call.
/// @throws InternalError if the text is malformed; Error if one letter has two extents.
[[nodiscard]] TilingRule bind_rule(std::string_view text, const OpCall& call);
/// The rule of the call's own spec.
[[nodiscard]] TilingRule tiling_rule(const OpCall& call);

}  // namespace hpdlf::graph
