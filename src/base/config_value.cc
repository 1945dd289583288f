#include "base/config_value.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <sstream>

namespace hpdlf::detail {
namespace {

namespace fs = std::filesystem;

template <class T>
struct ElementOf {
  using type = T;
  static constexpr bool is_list = false;
};
template <class T>
struct ElementOf<std::vector<T>> {
  using type = T;
  static constexpr bool is_list = true;
};

template <class T>
inline constexpr bool kIsText = std::is_same_v<T, std::string> || std::is_same_v<T, fs::path>;

template <class T>
constexpr std::string_view noun() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_same_v<T, std::int64_t>) return "an integer";
  if constexpr (std::is_same_v<T, double>) return "a number";
  if constexpr (std::is_same_v<T, std::string>) return "text in quotes";
  if constexpr (std::is_same_v<T, fs::path>) return "a path in quotes";
  return "";
}

template <class T>
std::string expectation() {
  using Element = typename ElementOf<T>::type;
  if constexpr (!ElementOf<T>::is_list) return std::string(noun<T>());
  return fmt::format("a list, each {}", noun<Element>());
}

/// "the string 'fast'", "the integer 3", "a table"
std::string found(const toml::node& node) {
  if (node.is_table()) return "a table";
  if (node.is_array()) return "a list";
  std::ostringstream text;
  node.visit([&](const auto& n) {
    if constexpr (toml::is_value<decltype(n)>) text << n;
  });
  std::ostringstream kind;
  kind << node.type();
  return fmt::format("the {} {}", kind.str(), text.str());
}

[[noreturn]] void fail_type(const std::string& expected, const toml::node& node,
                            const ValueSource& source) {
  throw Error(fmt::format("{}: `{}` must be {}, found {}", source.where, source.key, expected,
                          found(node)));
}

fs::path resolved(const std::string& text, const fs::path& folder) {
  return text.empty() ? fs::path() : (folder / text).lexically_normal();
}

template <class T>
T scalar_of(const toml::node& node, const ValueSource& source) {
  if constexpr (std::is_same_v<T, fs::path>) {
    if (const auto* text = node.as_string()) return resolved(text->get(), source.folder);
  } else if constexpr (std::is_same_v<T, double>) {
    if (node.is_number()) return node.value<double>().value();  // 1 is a number too
  } else if (const auto* value = node.as<T>()) {
    return value->get();
  }
  fail_type(std::string(noun<T>()), node, source);
}

template <class T>
T value_as(const toml::node& node, const ValueSource& source) {
  using Element = typename ElementOf<T>::type;
  if constexpr (!ElementOf<T>::is_list) {
    return scalar_of<T>(node, source);
  } else {
    if constexpr (kIsText<Element>)
      if (node.is_string())
        return {scalar_of<Element>(node, source)};  // one name stands for a list of one
    const toml::array* array = node.as_array();
    if (array == nullptr) fail_type(expectation<T>(), node, source);
    T list;
    for (const toml::node& item : *array)
      list.push_back(scalar_of<Element>(
          item, {fmt::format("{}[{}]", source.key, list.size()), source.where, source.folder}));
    return list;
  }
}

/// Parts of "a, b,c", spaces around them cut off.
std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    std::string part = text.substr(begin, end - begin);
    part.erase(0, part.find_first_not_of(' '));
    part.erase(part.find_last_not_of(' ') + 1);
    parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

template <class T>
T text_as(const std::string& text, const ValueSource& source) {
  using Element = typename ElementOf<T>::type;
  const bool quoted = text.starts_with('"') || text.starts_with('\'') || text.starts_with('[');
  if constexpr (kIsText<Element>) {
    if (!quoted) {  // plain words, as a shell gives them
      if constexpr (std::is_same_v<T, std::string>) {
        return text;
      } else if constexpr (std::is_same_v<T, fs::path>) {
        return resolved(text, source.folder);
      } else {
        T list;
        if (!text.empty())
          for (const std::string& part : split(text, ','))
            list.push_back(text_as<Element>(part, source));
        return list;
      }
    }
  }
  const bool is_bare_list = ElementOf<T>::is_list && !quoted;
  toml::table table;
  try {
    table = toml::parse(is_bare_list ? "v = [" + text + "]" : "v = " + text);
  } catch (const toml::parse_error&) {
    table.insert("v", text);  // some word: the type error below shows it
  }
  return value_as<T>(*table.get("v"), source);
}

template <class T>
void check_number(T value, const ConfigRule& rule, const ValueSource& source,
                  const std::string& doc) {
  const auto v = static_cast<double>(value);
  const bool low = rule.above_min ? !(v > rule.min) : !(v >= rule.min);  // NaN breaks every rule
  if (low || !(v <= rule.max) || std::isnan(v))
    throw Error(fmt::format("{}: `{}` must be {}, found {} ({})", source.where, source.key,
                            describe_type(ConfigValue(value), rule), value, doc));
}

std::string toml_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else
      quoted += c;
  }
  return quoted + '"';
}

std::string toml_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);  // the shortest text that reads back exactly
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string bounds(const ConfigRule& rule) {
  // The range of int is how a field is stored, nothing that a person needs to read.
  const bool has_min = rule.min > std::numeric_limits<int>::min();
  const bool has_max = rule.max < std::numeric_limits<int>::max();
  const char* at_least = rule.above_min ? ">" : ">=";
  if (has_min && has_max && !rule.above_min)
    return fmt::format(" from {} to {}", rule.min, rule.max);
  return (has_min ? fmt::format(" {} {}", at_least, rule.min) : "") +
         (has_min && has_max ? " and" : "") + (has_max ? fmt::format(" <= {}", rule.max) : "");
}

}  // namespace

ConfigValue value_of_node(const toml::node& node, const ConfigValue& type,
                          const ValueSource& source) {
  return std::visit(
      [&](const auto& t) -> ConfigValue {
        return value_as<std::decay_t<decltype(t)>>(node, source);
      },
      type);
}

ConfigValue value_of_text(const std::string& text, const ConfigValue& type,
                          const ValueSource& source) {
  return std::visit(
      [&](const auto& t) -> ConfigValue {
        return text_as<std::decay_t<decltype(t)>>(text, source);
      },
      type);
}

void resolve_paths(ConfigValue& value, const fs::path& folder) {
  const auto resolve = [&](std::string& text) {
    std::string joined;
    for (const std::string& part : split(text, ';'))
      joined += (joined.empty() ? "" : ";") + resolved(part, folder).string();
    text = std::move(joined);
  };
  if (auto* text = std::get_if<std::string>(&value)) resolve(*text);
  if (auto* list = std::get_if<std::vector<std::string>>(&value))
    for (std::string& text : *list) resolve(text);
}

void check_rule(const ConfigValue& value, const ConfigRule& rule, const ValueSource& source,
                const std::string& doc) {
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (ElementOf<T>::is_list) {
          const auto length = static_cast<int>(v.size());
          if (!rule.lengths.empty() &&
              std::find(rule.lengths.begin(), rule.lengths.end(), length) == rule.lengths.end())
            throw Error(fmt::format("{}: `{}` must have {} elements, found {} ({})", source.where,
                                    source.key, fmt::join(rule.lengths, " or "), length, doc));
          for (std::size_t i = 0; i < v.size(); ++i)
            check_rule(ConfigValue(typename ElementOf<T>::type(v[i])),
                       {.min = rule.min,
                        .max = rule.max,
                        .above_min = rule.above_min,
                        .choices = rule.choices,
                        .lengths = {}},
                       {fmt::format("{}[{}]", source.key, i), source.where, {}}, doc);
        } else if constexpr (std::is_same_v<T, std::string>) {
          if (!rule.choices.empty() &&
              std::find(rule.choices.begin(), rule.choices.end(), v) == rule.choices.end())
            throw Error(fmt::format("{}: `{}` must be one of {}, found \"{}\" ({})", source.where,
                                    source.key, fmt::join(rule.choices, ", "), v, doc));
        } else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, std::int64_t>) {
          check_number(v, rule, source, doc);
        }
      },
      value);
}

std::string describe_type(const ConfigValue& type, const ConfigRule& rule) {
  constexpr std::string_view kNames[] = {"true | false", "integer", "number", "text", "path",
                                         "integers",     "numbers", "texts",  "paths"};
  static_assert(std::size(kNames) == std::variant_size_v<ConfigValue>);
  const bool is_list = type.index() >= 5;
  std::string text = rule.choices.empty() ? std::string(kNames[type.index()]) + bounds(rule)
                                          : fmt::format("{}", fmt::join(rule.choices, " | "));
  if (!is_list) return text;
  return rule.lengths.empty() ? "list of " + text
                              : fmt::format("list of {} {}", fmt::join(rule.lengths, " or "), text);
}

std::string toml_text(const ConfigValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (ElementOf<T>::is_list) {
          std::string list;
          for (const auto& item : v)
            list += (list.empty() ? "" : ", ") + toml_text(ConfigValue(item));
          return "[" + list + "]";
        } else if constexpr (std::is_same_v<T, bool>) {
          return v ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          return fmt::format("{}", v);
        } else if constexpr (std::is_same_v<T, double>) {
          return toml_number(v);
        } else if constexpr (std::is_same_v<T, fs::path>) {
          return toml_quoted(v.string());
        } else {
          return toml_quoted(v);
        }
      },
      value);
}

}  // namespace hpdlf::detail
