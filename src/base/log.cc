#include "base/log.hpp"

#include <cstdlib>
#include <memory>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <string>

namespace hpdlf {

void init_log(int rank) {
  auto logger = std::make_shared<spdlog::logger>(
      "hpdlf", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  const std::string prefix = rank >= 0 ? "[rank " + std::to_string(rank) + "] " : "";
  logger->set_pattern("%H:%M:%S %^%l%$ " + prefix + "%v");
  const char* level = std::getenv("HPDLF_LOG");
  logger->set_level(level != nullptr ? spdlog::level::from_str(level) : spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace hpdlf
