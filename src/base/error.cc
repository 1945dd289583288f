#include "base/error.hpp"

#include <cstring>

namespace hpdlf::detail {

void fail_internal(const char* file, int line, const char* condition, const std::string& message) {
  const char* slash = std::strrchr(file, '/');
  throw InternalError(fmt::format("internal error: {} ({}:{}: `{}` does not hold)", message,
                                  slash != nullptr ? slash + 1 : file, line, condition),
                      "this is a bug of HP-DLF, please report it with the command and its files");
}

}  // namespace hpdlf::detail
