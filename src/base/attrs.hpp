// Typed attributes of an operator call.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.hpp"

namespace hpdlf {

using AttrValue =
    std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>>;

/// Ordered by name, so that printing and hashing are stable. Reading a name that is absent or of another type throws:
/// the OpSpec completes defaults and rejects unknown names when a node is made.
class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<const std::string, AttrValue>> values) : values_(values) {}

  [[nodiscard]] bool has(std::string_view name) const {
    return values_.find(name) != values_.end();
  }
  void set(const std::string& name, AttrValue value) { values_[name] = std::move(value); }
  void erase(const std::string& name) { values_.erase(name); }

  [[nodiscard]] std::int64_t integer(std::string_view name) const {
    return get<std::int64_t>(name, "an integer");
  }
  /// A float; an integer is accepted too.
  [[nodiscard]] double real(std::string_view name) const;
  [[nodiscard]] const std::string& string(std::string_view name) const {
    return get<std::string>(name, "a string");
  }
  [[nodiscard]] const std::vector<std::int64_t>& integers(std::string_view name) const {
    return get<std::vector<std::int64_t>>(name, "a list of integers");
  }
  [[nodiscard]] const std::vector<double>& reals(std::string_view name) const {
    return get<std::vector<double>>(name, "a list of floats");
  }
  [[nodiscard]] const std::map<std::string, AttrValue, std::less<>>& values() const {
    return values_;
  }
  friend bool operator==(const Attrs&, const Attrs&) = default;

 private:
  template <class T>
  const T& get(std::string_view name, const char* what) const {
    const auto it = values_.find(name);
    HPDLF_CHECK(it != values_.end(), "attribute `{}` is missing", name);
    const T* value = std::get_if<T>(&it->second);
    HPDLF_CHECK(value != nullptr, "attribute `{}` must be {}", name, what);
    return *value;
  }
  std::map<std::string, AttrValue, std::less<>> values_;
};

/// "strides=[2,2,2] alpha=0.01"
[[nodiscard]] std::string to_string(const AttrValue& value);
[[nodiscard]] std::string to_string(const Attrs& attrs);

}  // namespace hpdlf
