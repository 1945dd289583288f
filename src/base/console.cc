#include "base/console.hpp"

#include <csignal>

namespace hpdlf {

void outlive_readers() { std::signal(SIGPIPE, SIG_IGN); }

void say_line(std::FILE* file, std::string text) noexcept {
  text += '\n';
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

}  // namespace hpdlf
