#include "graph/tiling_rule.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "base/window.hpp"
#include "graph/op_spec.hpp"

namespace hpdlf::graph {
namespace {

/// One token of a rule. A sliding letter is numbered in order of first appearance: that is its place in kernel_shape, strides, ...
struct Token {
  enum class Kind : std::uint8_t {
    factor,
    sliding,
    transposed,
    margin,
    blocks,
    fixed,
    ellipsis
  } kind = Kind::factor;
  char letter = '?';
  bool whole = false;
  std::int64_t number = 0;  ///< fixed: the extent; margin: its width; blocks: their size
};
using OperandTokens = std::vector<Token>;

struct RuleText {
  std::vector<OperandTokens> inputs, outputs;
};

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Token parse_token(std::string_view text, std::string_view rule) {
  if (text == "...") return {.kind = Token::Kind::ellipsis};
  if (const auto number = parse_number(text))
    return {.kind = Token::Kind::fixed, .number = *number};
  Token token{.letter = text[0]};
  const std::string_view suffix = text.substr(1);
  HPDLF_ASSERT(std::isalpha(static_cast<unsigned char>(text[0])) != 0,
               "token `{}` in tiling rule `{}`", text, rule);
  if (suffix.empty()) return token;
  if (suffix == "!") {
    token.whole = true;
  } else if (suffix == "~") {
    token.kind = Token::Kind::sliding;
  } else if (suffix == "^") {
    token.kind = Token::Kind::transposed;
  } else {
    const bool is_blocks = suffix[0] == '*';
    const auto number =
        is_blocks || suffix[0] == '~' ? parse_number(suffix.substr(1)) : std::nullopt;
    HPDLF_ASSERT(number && *number >= (is_blocks ? 1 : 0), "token `{}` in tiling rule `{}`", text,
                 rule);
    token.kind = is_blocks ? Token::Kind::blocks : Token::Kind::margin;
    token.number = *number;
  }
  return token;
}

/// The parts of `text` between separators, without surrounding spaces; empty ones are kept.
std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto at = text.find(separator);
    std::string_view part = text.substr(0, at);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    parts.push_back(part);
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + separator.size());
  }
}

std::vector<OperandTokens> parse_side(std::string_view side, std::string_view rule) {
  std::vector<OperandTokens> operands;
  const auto texts = split(side, ",");
  if (texts.size() == 1 && texts[0].empty()) return operands;
  for (const auto text : texts) {
    HPDLF_ASSERT(!text.empty(), "an operand of tiling rule `{}` is empty; a scalar is ()", rule);
    OperandTokens tokens;
    if (text != "()")
      for (const auto token : split(text, " "))
        if (!token.empty()) tokens.push_back(parse_token(token, rule));
    operands.push_back(std::move(tokens));
  }
  return operands;
}

RuleText parse(std::string_view rule) {
  const auto sides = split(rule, "->");
  HPDLF_ASSERT(sides.size() == 2, "tiling rule `{}` must have one `->`", rule);
  return {parse_side(sides[0], rule), parse_side(sides[1], rule)};
}

/// Binds the tokens of a rule to the operands of a call.
class Binder {
 public:
  Binder(std::string_view text, const OpCall& call)
      : text_(text), call_(call), rule_(parse(text)) {}

  TilingRule bind() {
    drop_missing_inputs();
    HPDLF_ASSERT(
        rule_.inputs.size() == call_.inputs.size() && rule_.outputs.size() == call_.outputs.size(),
        "tiling rule `{}` has {} inputs and {} outputs, the call {} and {}", text_,
        rule_.inputs.size(), rule_.outputs.size(), call_.inputs.size(), call_.outputs.size());
    expand_ellipses();
    number_sliding_letters();
    for (std::size_t i = 0; i < rule_.inputs.size(); ++i)
      result_.inputs.push_back(bind_operand(rule_.inputs[i], call_.inputs[i], "input", i));
    for (std::size_t i = 0; i < rule_.outputs.size(); ++i)
      result_.outputs.push_back(bind_operand(rule_.outputs[i], call_.outputs[i], "output", i));
    classify_factors();
    return std::move(result_);
  }

 private:
  /// Optional inputs come last and may be missing from the call.
  void drop_missing_inputs() {
    if (rule_.inputs.size() > call_.inputs.size()) rule_.inputs.resize(call_.inputs.size());
  }

  template <class Visit>
  void for_each_operand(Visit visit) {
    for (std::size_t i = 0; i < rule_.inputs.size(); ++i) visit(rule_.inputs[i], call_.inputs[i]);
    for (std::size_t i = 0; i < rule_.outputs.size(); ++i)
      visit(rule_.outputs[i], call_.outputs[i]);
  }

  void expand_ellipses() {
    std::string explicit_letters;
    for_each_operand([&](const OperandTokens& tokens, const TensorType&) {
      for (const auto& token : tokens) explicit_letters += token.letter;
    });
    std::optional<std::string> names;  // of the dimensions that "..." stands for
    for_each_operand([&](OperandTokens& tokens, const TensorType& type) {
      const auto is_ellipsis = [](const Token& token) {
        return token.kind == Token::Kind::ellipsis;
      };
      const auto at = std::find_if(tokens.begin(), tokens.end(), is_ellipsis);
      if (at == tokens.end()) return;
      const int count = type.extents.rank() - static_cast<int>(tokens.size()) + 1;
      HPDLF_ASSERT(count >= 0 && at == tokens.begin(), "tiling rule `{}` does not fit {}", text_,
                   to_string(type));
      if (!names) names = leading_letters(type.extents.rank(), count, explicit_letters);
      HPDLF_ASSERT(static_cast<int>(names->size()) == count,
                   "`...` of tiling rule `{}` stands for {} and {} dimensions", text_,
                   names->size(), count);
      tokens.erase(tokens.begin());
      OperandTokens leading;
      for (const char letter : *names) leading.push_back({.letter = letter});
      tokens.insert(tokens.begin(), leading.begin(), leading.end());
    });
  }

  static std::string leading_letters(int rank, int count, const std::string& taken) {
    const std::string letters = usual_letters(rank);
    std::string names;
    for (int i = 0; i < count; ++i) {
      const char letter = letters[static_cast<std::size_t>(2 * i)];
      const bool is_taken = taken.find(letter) != std::string::npos;
      names +=
          is_taken ? static_cast<char>(std::toupper(static_cast<unsigned char>(letter))) : letter;
    }
    return names;
  }

  void number_sliding_letters() {
    for_each_operand([&](const OperandTokens& tokens, const TensorType&) {
      for (const auto& token : tokens)
        if ((token.kind == Token::Kind::sliding || token.kind == Token::Kind::transposed) &&
            sliding_.find(token.letter) == std::string::npos)
          sliding_ += token.letter;
    });
    if (!sliding_.empty()) windows_ = windows_from(*call_.attrs, static_cast<int>(sliding_.size()));
  }

  OperandMap bind_operand(const OperandTokens& tokens, const TensorType& type, const char* side,
                          std::size_t number) {
    HPDLF_ASSERT(static_cast<int>(tokens.size()) == type.extents.rank(),
                 "{} {} is {}, tiling rule `{}` has rank {} there", side, number, to_string(type),
                 text_, tokens.size());
    OperandMap map;
    for (int i = 0; i < type.extents.rank(); ++i)
      map.push_back(bind_dim(tokens[static_cast<std::size_t>(i)], type, i));
    return map;
  }

  DimMap bind_dim(const Token& token, const TensorType& type, int i) {
    if (token.kind == Token::Kind::fixed) {
      HPDLF_ASSERT(type.extents[i] == token.number,
                   "dimension {} of {} must be {} by tiling rule `{}`", i, to_string(type),
                   token.number, text_);
      return {.kind = DimMap::Kind::fixed};
    }
    const int factor = factor_of(token.letter);
    if (token.whole) is_whole_[static_cast<std::size_t>(factor)] = true;
    if (token.kind == Token::Kind::factor) {
      bind_extent(factor, type.extents[i], type, i);
      return {.kind = DimMap::Kind::plain, .factor = factor};
    }
    if (token.kind == Token::Kind::margin)
      return {.kind = DimMap::Kind::window,
              .factor = factor,
              .kernel = 2 * token.number + 1,
              .pad = token.number};
    if (token.kind == Token::Kind::blocks) {
      bind_extent(factor, (type.extents[i] + token.number - 1) / token.number, type, i);
      return {.kind = DimMap::Kind::window,
              .factor = factor,
              .kernel = token.number,
              .stride = token.number};
    }
    const Window& w = windows_[sliding_.find(token.letter)];
    return {.kind = token.kind == Token::Kind::sliding ? DimMap::Kind::window
                                                       : DimMap::Kind::transposed_window,
            .factor = factor,
            .kernel = w.kernel,
            .stride = w.stride,
            .dilation = w.dilation,
            .pad = w.pad_lo};
  }

  int factor_of(char letter) {
    if (const int known = result_.find(letter); known >= 0) return known;
    result_.factors.push_back({.letter = letter, .extent = kUnbound});
    is_whole_.push_back(false);
    return static_cast<int>(result_.factors.size()) - 1;
  }

  /// @param extent that dimension i of `type` asks for
  void bind_extent(int factor, std::int64_t extent, const TensorType& type, int i) {
    Factor& f = result_.factors[static_cast<std::size_t>(factor)];
    HPDLF_CHECK(f.extent == kUnbound || f.extent == extent,
                "dimension {} of {} is `{}`, which is {} elsewhere in the call (tiling rule `{}`)",
                i, to_string(type), f.letter, f.extent, text_);
    f.extent = extent;
  }

  void classify_factors() {
    for (std::size_t i = 0; i < result_.factors.size(); ++i) {
      Factor& factor = result_.factors[i];
      HPDLF_ASSERT(factor.extent != kUnbound, "factor `{}` of tiling rule `{}` has no extent",
                   factor.letter, text_);
      const bool is_summed = std::any_of(
          result_.outputs.begin(), result_.outputs.end(), [&](const OperandMap& output) {
            return TilingRule::is_missing(output, static_cast<int>(i));
          });
      factor.kind = is_whole_[i] ? Factor::Kind::whole
                    : is_summed  ? Factor::Kind::summed
                                 : Factor::Kind::parallel;
    }
  }

  static constexpr std::int64_t kUnbound = -1;
  std::string_view text_;
  const OpCall& call_;
  RuleText rule_;
  std::string sliding_;  // letters with window geometry, in order
  Windows windows_{};
  std::vector<bool> is_whole_;  // [factor]
  TilingRule result_;
};

/// Indices [lo, hi) of one operand dimension that factor indices [lo, hi) touch, before clipping; not called for empty ranges.
std::pair<std::int64_t, std::int64_t> touched(const DimMap& map, std::int64_t lo, std::int64_t hi) {
  const Window window{
      .kernel = map.kernel, .stride = map.stride, .dilation = map.dilation, .pad_lo = map.pad};
  switch (map.kind) {
    case DimMap::Kind::window:
      return {window.first(lo), window.first(hi - 1) + window.reach() + 1};
    case DimMap::Kind::transposed_window:
      return window.reaching(lo, hi);
    case DimMap::Kind::plain:
    case DimMap::Kind::fixed:
      break;
  }
  return {lo, hi};
}

}  // namespace

int TilingRule::find(char letter) const {
  for (std::size_t i = 0; i < factors.size(); ++i)
    if (factors[i].letter == letter) return static_cast<int>(i);
  return -1;
}

bool TilingRule::is_missing(const OperandMap& operand, int factor) {
  return std::none_of(operand.begin(), operand.end(),
                      [&](const DimMap& map) { return map.factor == factor; });
}

Box TilingRule::iteration_space() const {
  Extents extents;
  for (const auto& factor : factors) extents.push_back(factor.extent);
  return Box::whole(extents);
}

Box TilingRule::operand_box(const OperandMap& operand, const Box& tile, const Extents& whole) {
  Box box = Box::whole(whole);
  for (int i = 0; i < whole.rank(); ++i) {
    const DimMap& map = operand[static_cast<std::size_t>(i)];
    if (map.kind == DimMap::Kind::fixed) continue;
    const std::int64_t lo = tile.lo[map.factor];
    const std::int64_t hi = tile.hi[map.factor];
    const auto [first, last] = hi > lo ? touched(map, lo, hi) : std::pair(lo, lo);
    box.lo[i] = std::clamp<std::int64_t>(first, 0, whole[i]);
    box.hi[i] = std::clamp<std::int64_t>(last, box.lo[i], whole[i]);
  }
  return box;
}

TilingRule bind_rule(std::string_view text, const OpCall& call) {
  return Binder(text, call).bind();
}

TilingRule tiling_rule(const OpCall& call) {
  if (call.spec->rule_for == nullptr) return bind_rule(call.spec->rule, call);
  return bind_rule(call.spec->rule_for(call), call);
}

}  // namespace hpdlf::graph
