#include "base/config.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "base/atomic_file.hpp"
#include "base/config_value.hpp"
#include "base/nearest.hpp"
#include "base/text.hpp"

namespace hpdlf {
namespace {

struct Section {
  std::string name, doc;
};

struct Field {
  std::string key, doc;
  ConfigValue value, fallback;
  ConfigRule rule;
  bool required = false;
};

struct Override {
  std::string key, text;
  [[nodiscard]] std::string where() const { return fmt::format("--set {}={}", key, text); }
};

std::string section_of(const std::string& key) {
  const auto dot = key.rfind('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

std::string leaf_of(const std::string& key) { return key.substr(key.rfind('.') + 1); }

Override parse_override(const std::string& text) {
  const auto equals = text.find('=');
  const std::string key = trimmed(std::string_view(text).substr(0, equals));
  if (equals == std::string::npos || key.empty())
    throw Error(fmt::format("`--set {}` is no key=value pair", text),
                "for example --set train.steps=50");
  return {key, trimmed(std::string_view(text).substr(equals + 1))};
}

}  // namespace

struct Config::Impl {
  std::filesystem::path file;
  toml::table table;
  std::vector<Override> overrides;
  bool reference_only = false;
  std::vector<Section> sections;
  std::vector<Field> fields;

  [[nodiscard]] const Override* find_override(std::string_view key) const {
    const auto it = std::find_if(overrides.rbegin(), overrides.rend(),
                                 [&](const Override& o) { return o.key == key; });
    return it == overrides.rend() ? nullptr : &*it;
  }
  [[nodiscard]] const Field* find_field(std::string_view key) const {
    const auto it =
        std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.key == key; });
    return it == fields.end() ? nullptr : &*it;
  }
  [[nodiscard]] std::string location(const toml::node& node) const {
    return fmt::format("{}:{}", file.string(), node.source().begin.line);
  }

  /// The value that an override or else the file gives `field`, checked.
  [[nodiscard]] std::optional<ConfigValue> given(const Field& field) const {
    const Override* item = find_override(field.key);
    const toml::node* node = item == nullptr ? table.at_path(field.key).node() : nullptr;
    if (item == nullptr && node == nullptr) return std::nullopt;
    const detail::ValueSource source{field.key, item != nullptr ? item->where() : location(*node),
                                     item != nullptr ? std::filesystem::current_path() : folder()};
    ConfigValue value = item != nullptr ? detail::value_of_text(item->text, field.fallback, source)
                                        : detail::value_of_node(*node, field.fallback, source);
    detail::check_rule(value, field.rule, source, field.doc);
    if (field.rule.is_path) detail::resolve_paths(value, source.folder);
    return value;
  }
  [[nodiscard]] std::filesystem::path folder() const {
    return std::filesystem::absolute(file).parent_path();
  }

  /// Adds a line for each given key below `node` that is not declared.
  void list_unknown(const toml::table& node, const std::string& prefix,
                    std::vector<std::string>& lines) const {
    for (const auto& [name, child] : node) {
      const std::string key = prefix + std::string(name.str());
      if (find_field(key) != nullptr) continue;
      const bool known_section = std::any_of(fields.begin(), fields.end(), [&](const Field& f) {
        return f.key.starts_with(key + ".");
      });
      if (child.is_table() && known_section)
        list_unknown(*child.as_table(), key + ".", lines);
      else
        lines.push_back(fmt::format("{}: {}", location(child), unknown(key, child.is_table())));
    }
  }

  /// "unknown key `optimizer.lrr`; did you mean `optimizer.lr`?"
  [[nodiscard]] std::string unknown(const std::string& key, bool is_section) const {
    std::vector<std::string> candidates;
    for (const Field& field : fields) {
      // The right name in the wrong section is the likeliest mistake of all.
      if (!is_section && leaf_of(field.key) == leaf_of(key))
        return fmt::format("unknown key `{}`; did you mean `{}`?", key, field.key);
      candidates.push_back(is_section ? section_of(field.key) : field.key);
    }
    return fmt::format("unknown {} `{}`{}", is_section ? "section" : "key", key,
                       did_you_mean(key, candidates));
  }

  /// Sections in the order they were opened, then those that fields alone name; each with its fields.
  [[nodiscard]] std::vector<std::pair<Section, std::vector<const Field*>>> grouped() const {
    std::vector<std::pair<Section, std::vector<const Field*>>> groups;
    for (const Section& section : sections) groups.push_back({section, {}});
    for (const Field& field : fields) {
      const std::string name = section_of(field.key);
      auto it = std::find_if(groups.begin(), groups.end(),
                             [&](const auto& g) { return g.first.name == name; });
      // Keys without a section must stand before all sections of a TOML file.
      if (it == groups.end())
        it = groups.insert(name.empty() ? groups.begin() : groups.end(), {{name, ""}, {}});
      it->second.push_back(&field);
    }
    std::erase_if(groups, [](const auto& group) { return group.second.empty(); });
    return groups;
  }
};

Config::Config() : impl_(std::make_unique<Impl>()) { impl_->reference_only = true; }
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;
Config::~Config() = default;

Config Config::from_file(const std::filesystem::path& file,
                         const std::vector<std::string>& overrides) {
  return from_text(read_text_file(file), file, overrides);
}

Config Config::from_text(std::string_view text, const std::filesystem::path& file,
                         const std::vector<std::string>& overrides) {
  Config config;
  config.impl_->reference_only = false;
  config.impl_->file = file;
  try {
    config.impl_->table = toml::parse(text, file.string());
  } catch (const toml::parse_error& error) {
    throw Error(fmt::format("{}:{}: not valid TOML: {}", file.string(), error.source().begin.line,
                            std::string(error.description())));
  }
  for (const std::string& item : overrides) config.impl_->overrides.push_back(parse_override(item));
  return config;
}

void Config::section(const std::string& name, const std::string& doc) {
  impl_->sections.push_back({name, doc});
}

ConfigValue Config::declare(const std::string& key, const ConfigValue& fallback,
                            const std::string& doc, ConfigRule rule, bool required) {
  HPDLF_ASSERT(impl_->find_field(key) == nullptr, "the configuration field {} is declared twice",
               key);
  // Recorded before it is read: an error in its value must not make the key look unknown.
  impl_->fields.push_back({key, doc, fallback, fallback, std::move(rule), required});
  Field& field = impl_->fields.back();
  if (auto value = impl_->given(field)) {
    field.value = std::move(*value);
  } else if (required && !impl_->reference_only) {
    throw Error(fmt::format("{}: `{}` is missing: {} ({})", impl_->file.string(), key, doc,
                            detail::describe_type(fallback, field.rule)));
  }
  return field.value;
}

bool Config::is_given(std::string_view key) const {
  return impl_->find_override(key) != nullptr || impl_->table.at_path(key).node() != nullptr;
}

std::string Config::where(std::string_view key) const {
  if (const Override* o = impl_->find_override(key)) return o->where();
  if (const toml::node* node = impl_->table.at_path(key).node()) return impl_->location(*node);
  return fmt::format("{}: default of {}", impl_->file.string(), key);
}

void Config::check_unknown() const {
  std::vector<std::string> lines;
  impl_->list_unknown(impl_->table, "", lines);
  for (const Override& item : impl_->overrides)
    if (impl_->find_field(item.key) == nullptr)
      lines.push_back(fmt::format("{}: {}", item.where(), impl_->unknown(item.key, false)));
  if (lines.empty()) return;
  std::string message;
  for (const std::string& line : lines) message += (message.empty() ? "" : "\n") + line;
  throw Error(std::move(message));
}

std::string Config::effective_toml() const {
  std::string text;
  for (const auto& [section, fields] : impl_->grouped()) {
    if (!section.name.empty()) {
      if (!text.empty()) text += '\n';
      if (!section.doc.empty()) text += fmt::format("# {}\n", section.doc);
      text += fmt::format("[{}]\n", section.name);
    }
    for (const Field* field : fields)
      text += fmt::format("{} = {}  # {}\n", leaf_of(field->key), detail::toml_text(field->value),
                          field->doc);
  }
  return text;
}

std::string Config::reference() const {
  std::string text;
  for (const auto& [section, fields] : impl_->grouped()) {
    if (!text.empty()) text += '\n';
    if (!section.name.empty()) text += fmt::format("[{}]  {}\n", section.name, section.doc);
    for (const Field* field : fields) {
      const std::string fallback =
          field->required ? "required"
                          : fmt::format("default {}", detail::toml_text(field->fallback));
      text +=
          fmt::format("  {}: {}, {}\n      {}\n", leaf_of(field->key),
                      detail::describe_type(field->fallback, field->rule), fallback, field->doc);
    }
  }
  return text;
}

}  // namespace hpdlf
