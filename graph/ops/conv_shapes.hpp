// What the convolution operators share: attributes, shapes, the dimensions of their tiling rules. "Wide" is the tensor that windows
// slide over (x of Conv), "narrow" the one with an element a window (y of Conv).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "base/window.hpp"
#include "graph/op_spec.hpp"
#include "graph/ops/rule_text.hpp"

namespace hpdlf::graph {

[[nodiscard]] inline std::vector<AttrSpec> conv_attrs(std::initializer_list<AttrSpec> more = {}) {
  std::vector<AttrSpec> attrs = {
      {"kernel_shape", std::vector<std::int64_t>{},
       "extents of the kernel, one a spatial dimension", true},
      {"strides", std::vector<std::int64_t>{}, "steps between windows; empty: 1"},
      {"pads", std::vector<std::int64_t>{}, "zero padding, all begins and then all ends; empty: 0"},
      {"dilations", std::vector<std::int64_t>{}, "steps between taps; empty: 1"},
      {"group", std::int64_t{1}, "groups of channels that are convolved apart"}};
  attrs.insert(attrs.end(), more);
  return attrs;
}

/// The attributes that all operators of the family share, taken from a call of any of them.
[[nodiscard]] inline Attrs shared_attrs(const Attrs& attrs) {
  Attrs shared;
  for (const auto& spec : conv_attrs()) shared.set(spec.name, attrs.values().at(spec.name));
  return shared;
}

inline void check_float(const TensorType& type, const char* name) {
  HPDLF_CHECK(type.dtype == DType::f32 || type.dtype == DType::bf16,
              "{} is {}; convolutions take f32 and bf16", name, to_string(type));
}

inline void check_activation(const TensorType& type, const char* name) {
  check_float(type, name);
  HPDLF_CHECK(type.extents.rank() >= 3 && type.extents.rank() <= 5,
              "{} is {}; convolutions take [N, spatial..., C] with 1 to 3 spatial dimensions", name,
              to_string(type));
}

[[nodiscard]] inline std::int64_t group_of(const Attrs& attrs, std::int64_t wide_channels,
                                           std::int64_t narrow_channels) {
  const std::int64_t group = attrs.integer("group");
  HPDLF_CHECK(group >= 1 && wide_channels % group == 0 && narrow_channels % group == 0,
              "group={} does not divide the channels, {} and {}", group, wide_channels,
              narrow_channels);
  return group;
}

/// [K, kernel..., C / group] of a convolution from C to K channels.
[[nodiscard]] inline Extents weight_extents(const Attrs& attrs, std::int64_t wide_channels,
                                            std::int64_t narrow_channels) {
  Extents w{narrow_channels};
  for (const auto k : attrs.integers("kernel_shape")) w.push_back(k);
  w.push_back(wide_channels / group_of(attrs, wide_channels, narrow_channels));
  return w;
}

/// Extents of y = Conv(x) with `channels` channels. @throws Error if the kernel does not fit.
[[nodiscard]] inline Extents narrow_extents(const Extents& wide, const Attrs& attrs,
                                            std::int64_t channels) {
  const int spatial = wide.rank() - 2;
  const Windows windows = windows_from(attrs, spatial);
  Extents narrow = wide;
  for (int i = 0; i < spatial; ++i) {
    const Window& w = windows[static_cast<std::size_t>(i)];
    narrow[i + 1] = w.outputs(wide[i + 1]);
    HPDLF_CHECK(
        narrow[i + 1] > 0,
        "a kernel of {} (dilation {}) does not fit in dimension {} of {} with pads {} and {}",
        w.kernel, w.dilation, i + 1, to_string(wide), w.pad_lo, w.pad_hi);
  }
  narrow[spatial + 1] = channels;
  return narrow;
}

/// Type of x, as "input_shape" says. @throws Error if dy is not of the extents that a convolution of it gives.
[[nodiscard]] inline TensorType input_of_gradient(const TensorType& dy, const Attrs& attrs) {
  TensorType x{dy.dtype, Extents(std::span(attrs.integers("input_shape")))};
  check_activation(x, "input_shape");
  const Extents expected = narrow_extents(x.extents, attrs, dy.extents.back());
  HPDLF_CHECK(dy.extents == expected, "dy is {}, convolving input_shape={} gives {}", to_string(dy),
              to_string(x.extents), to_string(expected));
  return x;
}

// ---- tiling. Kernel dimensions are r, s, t

[[nodiscard]] inline std::string activation_dims(int rank, const std::string& spatial_suffix,
                                                 const std::string& channels) {
  return rule_dims(rank, [&](int i, const std::string& letter) {
    return i == 0 ? letter : i == rank - 1 ? channels : letter + spatial_suffix;
  });
}

[[nodiscard]] inline std::string weight_dims(int rank, const std::string& narrow_channels,
                                             const std::string& wide_channels) {
  std::string text = narrow_channels;
  for (int i = 0; i < rank - 2; ++i) text += fmt::format(" {}!", "rst"[i]);
  return text + " " + wide_channels;
}

}  // namespace hpdlf::graph
