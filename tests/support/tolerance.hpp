// How far a result may be from the double reference: one table by device and element type, scaled by the number of summed terms.
//
// The form is SLATE's tester's: |y - ref| <= factor * eps * sqrt(k + 2) * scale for sums of k products (Higham, Accuracy and
// Stability of Numerical Algorithms, 2nd ed., sec. 3.6, with the statistical square root).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/dtype.hpp"
#include "base/error.hpp"

namespace hpdlf::test {

/// Relative error of one operation, times what vectorised approximations of exp, log, ... add.
[[nodiscard]] inline double unit_error(std::string_view device, DType dtype) {
  HPDLF_CHECK(device == "cpu", "no tolerances for device {}", device);
  switch (dtype) {
    case DType::f64:
      return 16 * 0x1p-52;
    case DType::f32:
      return 4 * 0x1p-23;
    case DType::f16:
      return 2 * 0x1p-10;
    case DType::bf16:
      return 2 * 0x1p-7;
    default:
      return 0;  // integers are exact
  }
}

/// Largest |y - ref| that is accepted. @param scale magnitude of the result  @param slack the case's own factor
[[nodiscard]] inline double error_bound(std::string_view device, DType dtype, std::int64_t terms,
                                        double scale, double slack = 1) {
  return slack * unit_error(device, dtype) * std::sqrt(static_cast<double>(terms) + 2) * scale;
}

}  // namespace hpdlf::test
