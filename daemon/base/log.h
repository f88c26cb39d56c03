// The application log: what an operator reads, on standard error. spdlog behind a few functions, fmt's format strings. Any
// thread; nobody waits for a reader that does not read. Not for the request path: per-request lines go to the access log.
#pragma once

#include "base/format.h"

#include <cstdint>
#include <string_view>
#include <utility>

namespace sluice::log {

enum class Level { debug, info, warn, error };

/// Messages below this level are dropped. Default: info.
void set_level(Level level);
void write(Level level, std::string_view message);
/// Lines that standard error did not take.
uint64_t lost_lines();

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sluice::log
