#include "base/cache_dir.hpp"

#include <cstdlib>

namespace hpdlf {

std::filesystem::path cache_dir() {
  if (const char* dir = std::getenv("HPDLF_CACHE_DIR"); dir != nullptr && *dir != '\0') return dir;
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::filesystem::path(home) / ".cache" / "hpdlf";
  return std::filesystem::temp_directory_path() / "hpdlf";
}

}  // namespace hpdlf
