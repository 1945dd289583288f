#include "base/window.hpp"

#include <string_view>

namespace hpdlf {
namespace {

/// Value `i` of an attribute that has `size` values or, when empty, `fallback` everywhere.
std::int64_t value_at(const Attrs& attrs, std::string_view name, int size, int i,
                      std::int64_t fallback, std::int64_t least) {
  const auto& values = attrs.integers(name);
  if (values.empty()) return fallback;
  HPDLF_CHECK(static_cast<int>(values.size()) == size, "{}={} has {} values, {} are needed", name,
              to_string(AttrValue(values)), values.size(), size);
  const std::int64_t value = values[static_cast<std::size_t>(i)];
  HPDLF_CHECK(value >= least, "{}={} holds {}; at least {} is needed", name,
              to_string(AttrValue(values)), value, least);
  return value;
}

}  // namespace

Windows windows_from(const Attrs& attrs, int count) {
  HPDLF_CHECK(static_cast<int>(attrs.integers("kernel_shape").size()) == count,
              "kernel_shape={} has {} values, {} are needed",
              to_string(AttrValue(attrs.integers("kernel_shape"))),
              attrs.integers("kernel_shape").size(), count);
  Windows windows{};
  for (int i = 0; i < count; ++i)
    windows[static_cast<std::size_t>(i)] = {
        .kernel = value_at(attrs, "kernel_shape", count, i, 1, 1),
        .stride = value_at(attrs, "strides", count, i, 1, 1),
        .dilation = value_at(attrs, "dilations", count, i, 1, 1),
        .pad_lo = value_at(attrs, "pads", 2 * count, i, 0, 0),
        .pad_hi = value_at(attrs, "pads", 2 * count, i + count, 0, 0)};
  return windows;
}

}  // namespace hpdlf
