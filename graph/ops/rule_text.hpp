// Putting together the text of a tiling rule for operators whose rule depends on rank and attributes.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "graph/op_spec.hpp"

namespace hpdlf::graph {

/// The dimensions of one operand, "n d! 16 c": `token(i, letter)` gives the text of dimension i (empty: the operand lacks it), where
/// `letter` is the usual letter of that dimension. "()" if nothing is left.
template <class Token>
[[nodiscard]] std::string rule_dims(int rank, Token token) {
  const std::string letters = usual_letters(rank);
  std::string text;
  for (int i = 0; i < rank; ++i) {
    const std::string t = token(i, std::string(1, letters[static_cast<std::size_t>(2 * i)]));
    if (!t.empty()) text += (text.empty() ? "" : " ") + t;
  }
  return text.empty() ? "()" : text;
}

/// The dimensions of an operand of these extents: their usual letters, but the extent itself, never cut, where `is_fixed(i)` holds.
template <class Predicate>
[[nodiscard]] std::string dims_fixed_where(const Extents& extents, Predicate is_fixed) {
  return rule_dims(extents.rank(), [&](int i, const std::string& letter) {
    return is_fixed(i) ? std::to_string(extents[i]) : letter;
  });
}

}  // namespace hpdlf::graph
