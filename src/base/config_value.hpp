// Values of the configuration: from TOML and from override text to a typed value, back to TOML, and against a rule.
// Private to base/config.cc and its tests: it includes toml++, which is slow to compile.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <toml++/toml.h>

#include "base/config.hpp"

namespace hpdlf::detail {

/// Where a value stands, for messages, and the folder that its relative paths count from.
struct ValueSource {
  std::string key;    ///< "optimizer.lr"
  std::string where;  ///< "unet3d.toml:12" or "--set optimizer.lr=1"
  std::filesystem::path folder;
};

/// @param type  any value of the wanted type. @throws Error naming key, place, expected and found.
[[nodiscard]] ConfigValue value_of_node(const toml::node& node, const ConfigValue& type,
                                        const ValueSource& source);
/// The same from `key=TEXT` on a command line: text needs no quotes, lists no brackets.
[[nodiscard]] ConfigValue value_of_text(const std::string& text, const ConfigValue& type,
                                        const ValueSource& source);

/// Text whose parts between ';' are paths, each counted from `folder`.
void resolve_paths(ConfigValue& value, const std::filesystem::path& folder);

/// @throws Error if `value` breaks `rule`; `doc` says what the field means.
void check_rule(const ConfigValue& value, const ConfigRule& rule, const ValueSource& source,
                const std::string& doc);

/// "integer >= 1", "adamw | sgd", "list of 3 integers"
[[nodiscard]] std::string describe_type(const ConfigValue& type, const ConfigRule& rule);
/// The value as it stands after `=` in a TOML file; numbers are exact.
[[nodiscard]] std::string toml_text(const ConfigValue& value);

}  // namespace hpdlf::detail
