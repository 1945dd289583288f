// Typed configuration: one TOML file, overridden by `key=value` pairs, read through declarations.
//
// A field is declared where it is read, once: key, type, default, meaning and what is allowed. From the same declarations
// come the errors (file:line, what was found, what may stand there), the list of unknown keys with the nearest known one,
// the effective configuration of a run and the reference of all keys.
//
//   Config config = Config::from_file("unet3d.toml", {"train.steps=50"});
//   config.section("train", "how long and how often");
//   options.steps = config.get<std::int64_t>("train.steps", 200, "optimizer steps", {.min = 1});
//   config.check_unknown();                                // after the last declaration
//
// Relative paths count from the folder of the file, or from the working directory when they come from an override.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/error.hpp"

namespace hpdlf {

/// The types a field may have; the alternative of a field's default is the type it must have.
using ConfigValue = std::variant<bool, std::int64_t, double, std::string, std::filesystem::path,
                                 std::vector<std::int64_t>, std::vector<double>,
                                 std::vector<std::string>, std::vector<std::filesystem::path>>;

/// What a value must satisfy; of a list, each element.
struct ConfigRule {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;                 ///< min itself is not allowed
  std::vector<std::string> choices = {};  ///< of text; empty: any
  std::vector<int> lengths = {};          ///< allowed lengths of a list; empty: any
  bool is_path =
      false;  ///< text holds paths or globs, several separated by ';': made absolute as paths are
};

class Config {
 public:
  /// Nothing given: every field has its default, required ones are empty (for the reference).
  Config();
  /// @param overrides  "section.key=value"; a later one wins. Text needs no quotes and lists no brackets.
  /// @throws Error if the file cannot be read or is no TOML (file:line), or an override has no '='.
  [[nodiscard]] static Config from_file(const std::filesystem::path& file,
                                        const std::vector<std::string>& overrides = {});
  /// `file` names the text in messages and gives the folder of relative paths; it need not exist.
  [[nodiscard]] static Config from_text(std::string_view text, const std::filesystem::path& file,
                                        const std::vector<std::string>& overrides = {});
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;
  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;
  ~Config();

  /// Opens a section of the reference and of the effective file; fields declared next belong to it by their key.
  void section(const std::string& name, const std::string& doc);

  /// The given value of `key`, or `fallback`. @throws Error (file:line or override, expected and found) if it breaks type or rule.
  template <class T>
  [[nodiscard]] T get(const std::string& key, std::type_identity_t<T> fallback,
                      const std::string& doc, const ConfigRule& rule = {}) {
    return read<T>(key, std::move(fallback), doc, rule, false);
  }
  /// A field that has no default. @throws Error if it is not given.
  template <class T>
  [[nodiscard]] T require(const std::string& key, const std::string& doc,
                          const ConfigRule& rule = {}) {
    return read<T>(key, T{}, doc, rule, true);
  }
  /// Sets `field` if `key` is given; the value it has is the default.
  template <class T>
  void bind(const std::string& key, T& field, const std::string& doc, const ConfigRule& rule = {}) {
    field = read<T>(key, std::move(field), doc, rule, false);
  }

  /// @throws Error naming every given key that no declaration read, where it stands, and the nearest declared one.
  void check_unknown() const;
  /// True if the file or an override gives `key`.
  [[nodiscard]] bool is_given(std::string_view key) const;
  /// "unet3d.toml:12" or "--set train.steps=50": where the value of `key` comes from, for the messages of later checks.
  [[nodiscard]] std::string where(std::string_view key) const;

  /// All declared fields with their values, as TOML with comments; reading it back gives the same values from anywhere.
  [[nodiscard]] std::string effective_toml() const;
  /// All declared fields with type, default and meaning, for people.
  [[nodiscard]] std::string reference() const;

 private:
  template <class T>
  T read(const std::string& key, T fallback, const std::string& doc, ConfigRule rule,
         bool required) {
    if constexpr (std::is_same_v<T, int>) {  // kept as a 64-bit integer, within the range of int
      rule.min = std::max<double>(rule.min, std::numeric_limits<int>::min());
      rule.max = std::min<double>(rule.max, std::numeric_limits<int>::max());
      return static_cast<int>(read<std::int64_t>(key, fallback, doc, std::move(rule), required));
    } else {
      return std::get<T>(
          declare(key, ConfigValue(std::move(fallback)), doc, std::move(rule), required));
    }
  }
  ConfigValue declare(const std::string& key, const ConfigValue& fallback, const std::string& doc,
                      ConfigRule rule, bool required);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hpdlf
