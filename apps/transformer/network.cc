#include "apps/transformer/network.hpp"

#include <algorithm>

#include "train/training_graph.hpp"

namespace hpdlf::apps {
namespace {

using graph::Builder;
using graph::ValueId;

/// Of every matrix, as in the original.
constexpr graph::Initializer kMatrixInit{
    .kind = graph::Initializer::Kind::normal, .a = 0, .b = 0.02};

void check_options(const graph::TensorType& tokens, const Gpt2Options& o) {
  HPDLF_CHECK(o.layers >= 1 && o.heads >= 1 && o.channels >= 1 && o.channels % o.heads == 0,
              "GPT-2 with {} layers, {} heads and {} channels: heads must divide the channels",
              o.layers, o.heads, o.channels);
  HPDLF_CHECK(tokens.extents.rank() == 2 && tokens.extents[1] <= o.context,
              "GPT-2 takes tokens [N, T] with T <= {}, its context, not {}", o.context,
              to_string(tokens));
}

ValueId dense(Builder& b, const std::string& name, ValueId x, const Extents& out,
              int contracted = 1) {
  return b.linear(name, x, {.out_features = out, .contracted = contracted, .weight = kMatrixInit});
}

/// x + proj(attention(qkv(ln1(x)))), then x + out(gelu(fc(ln2(x)))).
ValueId block(Builder& b, const std::string& name, ValueId x, const Gpt2Options& o) {
  const std::int64_t features = o.channels / o.heads;
  const ValueId qkv =
      dense(b, name + ".qkv", b.layer_norm(name + ".ln1", x), {o.heads, 3, features});
  const ValueId attended = b.op(name + ".attention", "SelfAttention", {qkv});
  const ValueId mixed = dense(b, name + ".proj", attended, {o.channels}, 2);
  const ValueId y = b.op(name + ".add1", "Add", {x, mixed});
  const ValueId wide = dense(b, name + ".fc", b.layer_norm(name + ".ln2", y), {4 * o.channels});
  const ValueId gelu = b.op(name + ".gelu", "Gelu", {wide}, {{"approximate", std::string("tanh")}});
  return b.op(name + ".add2", "Add", {y, dense(b, name + ".out", gelu, {o.channels})});
}

ValueId embed(Builder& b, ValueId tokens, ValueId table, const Gpt2Options& o) {
  const std::int64_t length = b.type(tokens).extents[1];
  ValueId positions =
      b.graph().add_parameter("wpe.weight", {DType::f32, {o.context, o.channels}}, kMatrixInit);
  if (length < o.context)
    positions = b.op("wpe", "Slice", {positions},
                     {{"starts", std::vector<std::int64_t>{0}},
                      {"ends", std::vector<std::int64_t>{length}},
                      {"axes", std::vector<std::int64_t>{0}}});
  return b.op("embedding", "Add", {b.op("wte", "Gather", {table, tokens}), positions});
}

/// How many of the `length` tokens of a sequence are scored together: at most 256 of the batch or an eighth of it, whichever is more. Their
/// exponentials are dropped by their gradient before those of later tokens are computed, so few of them exist at a time; fewer tokens at
/// a time would read the table more often.
std::int64_t scored_together(std::int64_t batch, std::int64_t length) {
  constexpr std::int64_t kTokens = 256, kParts = 8;
  return std::clamp(std::max(kTokens / batch, (length + kParts - 1) / kParts), std::int64_t{1},
                    length);
}

/// Cut along the sequences into pieces of `step` tokens, the last one shorter.
std::vector<ValueId> pieces_of(Builder& b, const std::string& name, ValueId value,
                               std::int64_t step) {
  const std::int64_t length = b.type(value).extents[1];
  if (step == length) return {value};
  std::vector<std::int64_t> extents(static_cast<std::size_t>(length / step), step);
  if (length % step != 0) extents.push_back(length % step);
  return b.split(name, value, 1, extents);
}

}  // namespace

ValueId gpt2_trunk(Builder& b, ValueId tokens, ValueId table, const Gpt2Options& options) {
  check_options(b.type(tokens), options);
  ValueId x = graph::kNone;
  {
    const Builder::LayerScope scope(b, "embedding");
    x = embed(b, tokens, table, options);
  }
  for (std::int64_t i = 0; i < options.layers; ++i) {
    const Builder::LayerScope scope(b, fmt::format("block{}", i));
    x = block(b, fmt::format("blocks.{}", i), x, options);
  }
  return b.layer_norm("ln", x);
}

ValueId language_model_loss(Builder& b, ValueId x, ValueId table, ValueId targets) {
  const Builder::LayerScope scope(b, "loss");
  const std::size_t first = b.graph().nodes().size();
  const Extents tokens = b.type(targets).extents;
  const std::int64_t step = scored_together(tokens[0], tokens[1]);
  const std::vector<ValueId> xs = pieces_of(b, "loss.x", x, step);
  const std::vector<ValueId> words = pieces_of(b, "loss.targets", targets, step);
  std::vector<ValueId> losses;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const ValueId rows = b.op(fmt::format("loss.target_rows.{}", i), "Gather", {table, words[i]});
    const ValueId s =
        b.op(fmt::format("loss.head.{}", i), "LmHeadSums", {xs[i], table, rows, words[i]});
    losses.push_back(
        b.op(fmt::format("loss.part.{}", i), "LmHeadLoss", {s}, {{"tokens", tokens.elements()}}));
  }
  const ValueId loss = losses.size() == 1 ? losses[0] : b.op("loss.mean", "Sum", losses);
  for (std::size_t i = first; i < b.graph().nodes().size(); ++i)
    b.graph().node(static_cast<graph::NodeId>(i)).phase = graph::Phase::loss;
  b.graph().fetch("loss", loss);
  return loss;
}

ValueId gpt2_with_loss(graph::Graph& graph, std::int64_t batch, std::int64_t tokens,
                       const Gpt2Options& net) {
  Builder b(graph);
  const graph::TensorType type{DType::i32, {batch, tokens}};
  const ValueId given = graph.add_input(kTokensInput, type);
  const ValueId targets = graph.add_input(kTargetsInput, type);
  const ValueId table =
      graph.add_parameter("wte.weight", {DType::f32, {net.vocabulary, net.channels}}, kMatrixInit);
  return language_model_loss(b, gpt2_trunk(b, given, table, net), table, targets);
}

std::shared_ptr<graph::Graph> gpt2_training_graph(std::int64_t batch, std::int64_t tokens,
                                                  const Gpt2Options& net,
                                                  const train::OptimizerOptions& optimizer,
                                                  DType dtype) {
  auto graph = std::make_shared<graph::Graph>("gpt2");
  train::complete_training_graph(*graph, gpt2_with_loss(*graph, batch, tokens, net), optimizer, {},
                                 dtype);
  return graph;
}

}  // namespace hpdlf::apps
