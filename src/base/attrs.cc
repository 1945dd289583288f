#include "base/attrs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace hpdlf {

double Attrs::real(std::string_view name) const {
  const auto it = values_.find(name);
  if (it != values_.end())
    if (const auto* i = std::get_if<std::int64_t>(&it->second)) return static_cast<double>(*i);
  return get<double>(name, "a float");
}

std::string to_string(const AttrValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>)
          return v;
        else if constexpr (std::is_arithmetic_v<T>)
          return fmt::format("{}", v);
        else
          return fmt::format("[{}]", fmt::join(v, ","));
      },
      value);
}

std::string to_string(const Attrs& attrs) {
  std::string s;
  for (const auto& [name, value] : attrs.values())
    s += fmt::format("{}{}={}", s.empty() ? "" : " ", name, to_string(value));
  return s;
}

}  // namespace hpdlf
