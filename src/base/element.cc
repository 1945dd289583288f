#include "base/element.hpp"

namespace hpdlf {

double load_element(const void* data, DType dtype, std::int64_t i) {
  return with_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    const T value = static_cast<const T*>(data)[i];
    if constexpr (std::is_same_v<T, bfloat16>)
      return static_cast<double>(static_cast<float>(value));
    else
      return static_cast<double>(value);
  });
}

void store_element(void* data, DType dtype, std::int64_t i, double value) {
  with_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    static_cast<T*>(data)[i] = rounded<T>(value);
  });
}

}  // namespace hpdlf
