// GPT-2 and its loss as a training graph.
//
// Source: Radford et al., "Language models are unsupervised multitask learners", 2019: pre-normalised blocks, learned positions, the
// head tied to the embedding, GELU by tanh, no dropout. Parameters are named as in a PyTorch module of torch.nn layers (wte, wpe,
// blocks.I.{ln1,qkv,proj,ln2,fc,out}, ln); qkv.weight is [heads, 3, features, channels], its rows grouped by head first.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>

#include "graph/builder.hpp"
#include "train/optimizer.hpp"

namespace hpdlf::apps {

/// The 124M model: 124,439,808 parameters.
struct Gpt2Options {
  std::int64_t layers = 12, heads = 12, channels = 768;
  std::int64_t vocabulary = 50257;
  std::int64_t context = 1024;  ///< most tokens of a sequence
};

/// tokens [N, T] -> channels [N, T, C] after the last normalisation.
/// @param table wte.weight [vocabulary, channels]
/// @throws Error if heads do not divide the channels or T is longer than the context.
[[nodiscard]] graph::ValueId gpt2_trunk(graph::Builder& builder, graph::ValueId tokens,
                                        graph::ValueId table, const Gpt2Options& options);

/// Mean cross-entropy of predicting targets [N, T] from x [N, T, C] with the head tied to `table`. Fetches "loss".
[[nodiscard]] graph::ValueId language_model_loss(graph::Builder& builder, graph::ValueId x,
                                                 graph::ValueId table, graph::ValueId targets);

/// Names of the graph's inputs.
inline constexpr const char* kTokensInput = "tokens";    ///< i32 [N, T]
inline constexpr const char* kTargetsInput = "targets";  ///< i32 [N, T]: the token after each

/// The net with its loss on `batch` sequences of `tokens` tokens, before differentiation and passes; returns the loss.
[[nodiscard]] graph::ValueId gpt2_with_loss(graph::Graph& graph, std::int64_t batch,
                                            std::int64_t tokens, const Gpt2Options& net);

/// Forward, loss, backward and optimizer of one step on `batch` sequences of `tokens` tokens.
[[nodiscard]] std::shared_ptr<graph::Graph> gpt2_training_graph(
    std::int64_t batch, std::int64_t tokens, const Gpt2Options& net,
    const train::OptimizerOptions& optimizer, DType dtype = DType::f32);

}  // namespace hpdlf::apps
