// Small training graphs with the shapes of trouble: halos, strides, transposed windows, skips, statistics, shared gradients.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <memory>

#include "graph/passes/pass.hpp"
#include "support/oracle.hpp"

namespace hpdlf::test {

/// Two-level 3-D U-Net on [n, depth, 6, 5, 2]: conv-norm, strided conv, transposed conv, the concatenation as an accumulating pair
/// of convs, cross-entropy with class weights plus Dice, SGD with momentum.
[[nodiscard]] std::shared_ptr<const graph::Graph> small_unet(std::int64_t n, std::int64_t depth);
/// 2-D net on [n, 8, 8, 3]: batch norm with running statistics, max pooling, a strided 1x1 conv (windows that reach nothing), AdamW.
[[nodiscard]] std::shared_ptr<const graph::Graph> small_classifier(std::int64_t n);
/// Five times conv, batch norm, Relu and Dropout on [n, 8, 8, 4], SGD: much that is kept and cheap to compute again.
[[nodiscard]] std::shared_ptr<const graph::Graph> small_chain(std::int64_t n);
/// Two linear layers on [n, 7], SGD.
[[nodiscard]] std::shared_ptr<const graph::Graph> small_mlp(std::int64_t n);
/// One attention of 4 heads on [n, tokens] of 5 words, the head tied to the embedding, SGD.
[[nodiscard]] std::shared_ptr<const graph::Graph> small_transformer(std::int64_t n,
                                                                    std::int64_t tokens);

/// Two convolutions with Relu on [1, 4, 16, 16, first], to `first` and to `second` channels; SGD. Direct ones if `math` is strict.
[[nodiscard]] std::shared_ptr<const graph::Graph> convolutions(
    std::int64_t first, std::int64_t second, graph::Math math = graph::Math::fast);

/// Random content of every input: floats in [-1, 1), labels in [0, 3), learning rate 0.1, step 1.
[[nodiscard]] std::map<graph::ValueId, Tensor> random_inputs(const graph::Graph& graph,
                                                             std::uint64_t seed);

}  // namespace hpdlf::test
